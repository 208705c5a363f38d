// C interface around a Verilated core behind a UART: bytes in, bytes out, at the other end of its line.

#include <cstdint>
#include <stdexcept>
#include <string>

#include "Vlepton.h"
#include "verilated.h"
#if VM_COVERAGE
#include "verilated_cov.h"
#endif

// Verilator's own vl_fatal aborts the process, and Python with it.
void vl_fatal(const char*, int, const char*, const char* message) {
    throw std::runtime_error(message);
}

extern "C" {

// Mirrored by sim/serial.py.
struct Run {
    const uint8_t* in;
    uint64_t in_count;
    uint8_t* out;
    uint64_t out_count;  // room in `out`
    uint64_t cycles;     // stops after so many
    uint64_t quiet;      // or after so many in which the line is idle and the core does not run
    // Results.
    uint64_t taken;  // bytes of `in` that have begun to be sent
    uint64_t given;  // bytes written to `out`
    uint64_t idle;   // it stopped because of `quiet`
};

}  // extern "C"

namespace {

constexpr unsigned FRAME_BITS = 10;

class Core {
public:
    explicit Core(uint64_t divisor) : divisor_{divisor} { reset(); }
    ~Core() { top_.final(); }

    void reset() {
        top_.rx = 1;
        // The wrapper of build.py delays reset by a cycle, so the last of these ends it inside.
        for (int i = 0; i < 4; i++) {
            top_.rst = i < 3;
            clock();
        }
        sending_ = receiving_ = 0;
    }

    void run(Run& r) {
        uint64_t quiet = 0;
        r.taken = r.given = r.idle = 0;
        for (uint64_t left = r.cycles; left != 0 && r.given < r.out_count; left--) {
            send(r);
            clock();
            receive(r);
            cycle++;
            quiet = sending_ || receiving_ || top_.running ? 0 : quiet + 1;
            if (quiet == r.quiet) {
                r.idle = 1;
                return;
            }
        }
    }

    uint64_t cycle = 0;
    std::string error;

private:
    void send(Run& r) {
        if (sending_ == 0 && r.taken < r.in_count) {
            shifted_out_ = r.in[r.taken++] << 1 | 1u << (FRAME_BITS - 1);
            sending_ = FRAME_BITS * divisor_;
        }
        if (sending_ != 0) {
            const uint64_t bit = FRAME_BITS - 1 - (sending_ - 1) / divisor_;
            top_.rx = shifted_out_ >> bit & 1;
            sending_--;
        } else {
            top_.rx = 1;
        }
    }

    void receive(Run& r) {
        if (receiving_ == 0) {
            if (top_.tx) return;
            // Up to the middle of the stop bit.
            receiving_ = FRAME_BITS * divisor_ - divisor_ / 2;
            shifted_in_ = 0;
            return;
        }
        receiving_--;
        if (receiving_ % divisor_ != 0) return;
        shifted_in_ = shifted_in_ >> 1 | unsigned{top_.tx} << (FRAME_BITS - 1);
        if (receiving_ == 0 && top_.tx) r.out[r.given++] = shifted_in_ >> 1 & 0xff;
    }

    void clock() {
        top_.clk = 0;
        top_.eval();
        top_.clk = 1;
        top_.eval();
    }

#if VM_COVERAGE
public:
    void coverage(const char* path) { context_.coveragep()->write(path); }

private:
#endif
    VerilatedContext context_;
    Vlepton top_{&context_};
    uint64_t divisor_;
    uint64_t sending_ = 0;    // cycles left of the byte to the core
    uint64_t receiving_ = 0;  // cycles until the last sample of the byte from the core
    unsigned shifted_out_ = 0;
    unsigned shifted_in_ = 0;
};

}  // namespace

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT void* lepton_create(uint64_t divisor) { return new Core(divisor); }

EXPORT void lepton_destroy(void* core) { delete static_cast<Core*>(core); }

#if VM_COVERAGE
EXPORT void lepton_coverage(void* core, const char* path) { static_cast<Core*>(core)->coverage(path); }
#endif

EXPORT void lepton_reset(void* core) { static_cast<Core*>(core)->reset(); }

EXPORT int lepton_run(void* handle, Run* run) {
    Core& core = *static_cast<Core*>(handle);
    try {
        core.run(*run);
        return 0;
    } catch (const std::exception& e) {
        core.error = e.what();
        return 1;
    }
}

EXPORT const char* lepton_error(void* core) { return static_cast<Core*>(core)->error.c_str(); }

EXPORT uint64_t lepton_cycle(void* core) { return static_cast<Core*>(core)->cycle; }
