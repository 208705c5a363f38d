// C interface around one Verilated core: words in, words out, every loop over cycles in here.
//
// Words have 32 bits; the link's beats have 8 to 64 and are made of words least significant first.
// A packet that ends within a beat is filled up with zeros.

#include <algorithm>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "Vlepton.h"
#include "verilated.h"
#include "verilated_syms.h"
#if VM_COVERAGE
#include "verilated_cov.h"
#endif
#if VM_TRACE_FST
#include "verilated_fst_c.h"
using Waves = VerilatedFstC;
#elif VM_TRACE_VCD
#include "verilated_vcd_c.h"
using Waves = VerilatedVcdC;
#endif

// Verilator's own vl_fatal aborts the process, and Python with it.
void vl_fatal(const char*, int, const char*, const char* message) {
    throw std::runtime_error(message);
}

namespace {

using Payload = std::remove_reference_t<decltype(Vlepton::i___05Fpayload)>;
// `last` is the top bit, so each width has a type of its own.
constexpr unsigned LINK_WIDTH = sizeof(Payload) == 2 ? 8
                                : sizeof(Payload) == 4 ? 16
                                : sizeof(Payload) == 8 ? 32
                                                       : 64;
constexpr unsigned BEATS_PER_WORD = LINK_WIDTH < 32 ? 32 / LINK_WIDTH : 1;
constexpr uint64_t DATA_MASK = LINK_WIDTH == 64 ? ~0ull : (1ull << (LINK_WIDTH % 64)) - 1;

struct Beat {
    uint64_t data;
    bool last;
};

// Templates, so that the branch for the other kind of port is not compiled.
template <typename Port>
void store(Port& payload, Beat beat) {
    if constexpr (LINK_WIDTH == 64) {
        payload[0] = static_cast<uint32_t>(beat.data);
        payload[1] = static_cast<uint32_t>(beat.data >> 32);
        payload[2] = beat.last;
    } else {
        payload = static_cast<Port>(beat.data | uint64_t{beat.last} << LINK_WIDTH);
    }
}

template <typename Port>
Beat load(const Port& payload) {
    if constexpr (LINK_WIDTH == 64) {
        return {payload[0] | uint64_t{payload[1]} << 32, (payload[2] & 1) != 0};
    } else {
        return {payload & DATA_MASK, ((payload >> LINK_WIDTH) & 1) != 0};
    }
}

}  // namespace

extern "C" {

// When one side of the core's link pauses. Mirrored by sim/device.py, as are the two below.
struct Stall {
    uint64_t threshold;  // of 2^32: how often a cycle pauses
    uint64_t every;      // moves in every k-th cycle only; 0 and 1 mean in each
    uint64_t from;       // pauses from this cycle on
    uint64_t until;      // and up to this one
    uint64_t seed;
    uint64_t patient;    // of the output: pauses until the core has offered something
};

struct Run {
    const uint32_t* words;
    const uint8_t* last;
    uint64_t count;
    uint64_t packets;     // stops when so many wait to be collected and all words were taken
    uint64_t cycles;      // or after so many cycles
    uint64_t idle_limit;  // or after so many in which nothing moved
    // From here on kept from one call to the next; zeroed by the caller before the first.
    uint64_t taken;        // words that the core took
    uint64_t beat;         // beats that it took of the word after those
    uint64_t idle;         // cycles since anything moved
    uint64_t first_taken;  // cycle of the first beat taken, when any was
};

struct Packet {
    uint64_t end;    // one past its last word
    uint64_t cycle;  // of its last beat
};

}  // extern "C"

namespace {

enum Outcome { RUNNING = 0, DONE = 1, STUCK = 2, FAILED = 3 };

class Pauses {
public:
    Pauses(const Stall& stall) : stall_{stall}, state_{stall.seed} {}

    bool now(uint64_t cycle) {
        const bool by_chance = stall_.threshold != 0 && (next() >> 32) < stall_.threshold;
        const bool by_turn = stall_.every > 1 && cycle % stall_.every != 0;
        return by_chance || by_turn || (cycle >= stall_.from && cycle < stall_.until);
    }

private:
    uint64_t next() {  // splitmix64
        uint64_t z = (state_ += 0x9e3779b97f4a7c15ull);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
        return z ^ (z >> 31);
    }

    Stall stall_;
    uint64_t state_;
};

class Core {
public:
    Core(const Stall& input, const Stall& output, const char* waves)
        : input_pauses_{input}, output_pauses_{output}, patient_{output.patient != 0} {
#if VM_TRACE
        if (waves != nullptr) {
            context_.traceEverOn(true);
            waves_ = std::make_unique<Waves>();
            top_.trace(waves_.get(), 99);
            waves_->set_time_unit("1ns");
            waves_->open(waves);
            if (!waves_->isOpen()) throw std::runtime_error("waves");
        }
#endif
    }

    ~Core() {
        top_.final();
#if VM_TRACE
        if (waves_) waves_->close();
#endif
    }

    void reset() {
        top_.i___05Fvalid = 0;
        top_.o___05Fready = 0;
        // The wrapper that build.py adds delays reset by a cycle, so the last of these ends it inside.
        for (int i = 0; i < 4; i++) {
            top_.rst = i < 3;
            settle();
            clock();
        }
        offered_ = false;
        waits_ = false;
        cycle_ = 0;
        partial_ = 0;
        partial_bits_ = 0;
        words.clear();
        packets.clear();
    }

    Outcome run(Run& r) {
        for (uint64_t left = r.cycles; left != 0; left--) {
            if (r.taken == r.count && packets.size() >= r.packets && r.packets != NEVER) return DONE;
            if (r.idle >= r.idle_limit) return STUCK;
            step(r);
        }
        flush();
        return RUNNING;
    }

    uint64_t cycle() const { return cycle_; }

    void flush() {
#if VM_TRACE
        if (waves_) waves_->flush();
#endif
    }

    // Where the value of a signal is that the Verilog declares public; null when there is none.
    void* signal(const char* name) {
        for (const auto& [_, scope] : *context_.scopeNameMap()) {
            if (const VerilatedVar* found = scope->varFind(name)) return found->datap();
        }
        return nullptr;
    }

    std::vector<uint32_t> words;
    std::vector<Packet> packets;
    std::string error;

private:
    static constexpr uint64_t NEVER = ~0ull;

    void step(Run& r) {
        const bool may_offer = !input_pauses_.now(cycle_);
        if (!offered_ && may_offer && r.taken < r.count) {
            // A beat once offered stays until it is taken, whatever the pauses say.
            store(top_.i___05Fpayload, next_beat(r));
            offered_ = true;
        }
        top_.i___05Fvalid = offered_;
        top_.o___05Fready = !output_pauses_.now(cycle_) && (waits_ || !patient_);
        settle();
        const bool took = offered_ && top_.i___05Fready;
        const bool gave = top_.o___05Fvalid && top_.o___05Fready;
        if (gave) receive(load(top_.o___05Fpayload));
        waits_ = top_.o___05Fvalid && !gave;
        clock();

        if (took) {
            if (r.taken == 0 && r.beat == 0) r.first_taken = cycle_;
            advance(r);
            offered_ = false;
        }
        r.idle = took || gave ? 0 : r.idle + 1;
        cycle_++;
    }

    static Beat next_beat(const Run& r) {
        const uint64_t at = r.taken;
        if constexpr (LINK_WIDTH == 64) {
            const bool single = r.last[at] || at + 1 == r.count;
            const uint64_t high = single ? 0 : r.words[at + 1];
            return {r.words[at] | high << 32, r.last[single ? at : at + 1] != 0};
        } else {
            const uint64_t data = r.words[at] >> (r.beat * LINK_WIDTH % 32) & DATA_MASK;
            return {data, r.last[at] && r.beat == BEATS_PER_WORD - 1};
        }
    }

    static void advance(Run& r) {
        if constexpr (LINK_WIDTH == 64) {
            r.taken += r.last[r.taken] || r.taken + 1 == r.count ? 1 : 2;
        } else if (++r.beat == BEATS_PER_WORD) {
            r.beat = 0;
            r.taken++;
        }
    }

    void receive(Beat beat) {
        if constexpr (LINK_WIDTH == 64) {
            words.push_back(static_cast<uint32_t>(beat.data));
            words.push_back(static_cast<uint32_t>(beat.data >> 32));
        } else {
            partial_ |= static_cast<uint32_t>(beat.data << partial_bits_);
            partial_bits_ += LINK_WIDTH;
            if (partial_bits_ == 32 || beat.last) {
                words.push_back(partial_);
                partial_ = 0;
                partial_bits_ = 0;
            }
        }
        if (beat.last) packets.push_back({words.size(), cycle_});
    }

    void settle() {
        top_.clk = 0;
        top_.eval();
        dump();
    }

    void clock() {
        top_.clk = 1;
        top_.eval();
        dump();
    }

    void dump() {
#if VM_TRACE
        if (waves_) waves_->dump(time_);
        // Else a wide core's changes wait in hundreds of megabytes.
        if (++time_ % 8192 == 0) flush();
#endif
    }

#if VM_COVERAGE
public:
    void coverage(const char* path) { context_.coveragep()->write(path); }

private:
#endif
    VerilatedContext context_;
    Vlepton top_{&context_};
#if VM_TRACE
    std::unique_ptr<Waves> waves_;
    uint64_t time_ = 0;
#endif
    Pauses input_pauses_;
    Pauses output_pauses_;
    bool patient_;
    bool offered_ = false;  // a beat to the core
    bool waits_ = false;    // a beat of the core, since the cycle before or longer
    uint64_t cycle_ = 0;
    uint32_t partial_ = 0;
    unsigned partial_bits_ = 0;
};

}  // namespace

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT void* lepton_create(const Stall* input, const Stall* output, const char* waves) {
    try {
        return new Core(*input, *output, waves);
    } catch (const std::exception&) {
        return nullptr;
    }
}

EXPORT void lepton_destroy(void* core) { delete static_cast<Core*>(core); }

#if VM_COVERAGE
EXPORT void lepton_coverage(void* core, const char* path) { static_cast<Core*>(core)->coverage(path); }
#endif

EXPORT void lepton_reset(void* core) { static_cast<Core*>(core)->reset(); }

EXPORT int lepton_run(void* handle, Run* run) {
    Core& core = *static_cast<Core*>(handle);
    try {
        return core.run(*run);
    } catch (const std::exception& e) {
        core.error = e.what();
        return FAILED;
    }
}

// For tests, which may look into a core, and change a register between two cycles.
EXPORT void* lepton_signal(void* core, const char* name) {
    return static_cast<Core*>(core)->signal(name);
}

EXPORT const char* lepton_error(void* core) { return static_cast<Core*>(core)->error.c_str(); }

EXPORT uint64_t lepton_cycle(void* core) { return static_cast<Core*>(core)->cycle(); }

EXPORT uint64_t lepton_packets(void* core) { return static_cast<Core*>(core)->packets.size(); }

EXPORT uint64_t lepton_words(void* core) { return static_cast<Core*>(core)->words.size(); }

// Moves the first `count` packets out: their words, and end and cycle of each.
EXPORT void lepton_take(void* handle, uint64_t count, uint32_t* words, Packet* packets) {
    Core& core = *static_cast<Core*>(handle);
    if (count == 0) return;
    const uint64_t end = core.packets[count - 1].end;
    std::copy_n(core.words.begin(), end, words);
    std::copy_n(core.packets.begin(), count, packets);
    core.words.erase(core.words.begin(), core.words.begin() + end);
    core.packets.erase(core.packets.begin(), core.packets.begin() + count);
    for (Packet& packet : core.packets) packet.end -= end;
}
