"""``python -m host.docs``"""

import sys

from host.docs import main

sys.exit(main())
