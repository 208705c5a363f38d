"""Long runs beside the test suite, each seeded and bounded, whose last results are in benchmarks/.

``python -m tests.campaigns.NAME`` runs one; docs/verification.md says what each found.
"""
