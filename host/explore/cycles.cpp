// host/cost.py once more, without what only its counters need: the cycle in which each output is
// read. tests/host/test_explore_cycles.py holds the two equal.

#include <algorithm>
#include <cstdint>
#include <vector>

using i64 = std::int64_t;

struct Layer {  // int64 each, in the order of FIELDS in sketch.py
    i64 window, results, kernel_y, slice, tile, block, allow, allow_slice, allow_kernel_y,
        allow_block, pass_min, beats, tail_beats, wait_input, release_input, wait_emit, emit_words;
};

struct Machine {  // in the order of _stamps in cycles.py
    i64 latency, load, depth, fetch, end_fetch, retire, release, run_check, read, send,
        read_to_stamp, packet_words, beat_words, word_beats, places, buffer_room, slots, slot_words,
        batches, slots_per_batch, packet_stored, packet_header, prefetch, freed, value;
};

namespace {

struct Model {
    const Machine& m;
    const Layer* layers;
    i64 count;
    std::vector<i64> starts, stops, retired{-1}, released, steals, stamps, taken;
    std::size_t write = 0, steal = 0;
    i64 word = 0, time = 1, post_free = 0, timer = 0, busy_until = 0, words, arrived = 0, came;

    Model(const Machine& machine, const Layer* l, i64 n)
        : m(machine), layers(l), count(n),
          words(machine.slots_per_batch * machine.batches * machine.slot_words),
          came(-machine.run_check - machine.slots) {}

    // When the header of the next packet can be taken.
    i64 packet(i64 payload) {
        i64 stop = arrived + (payload + m.beat_words) / m.beat_words * m.beat_words;
        if (m.word_beats == 1) {
            came += stop - arrived;
        } else {
            for (i64 i = arrived; i < stop; ++i) {
                came += m.word_beats;
                if (i >= m.places) came = std::max(came, taken[i - m.places] + m.buffer_room);
            }
        }
        arrived = stop;
        return came + m.packet_stored;
    }

    void takes(i64 start, i64 n) {
        if (m.word_beats == 1) return;
        for (i64 i = 0; i < n; ++i) taken.push_back(start + i);
    }

    i64 take(i64 now, i64 left) {
        while (left) {
            while (write < stops.size() && stops[write] <= now) ++write;
            i64 begin = write < starts.size() ? starts[write] : now + left;
            if (begin <= now) {
                now = stops[write];
                continue;
            }
            i64 n = std::min(left, begin - now);
            takes(now, n);
            now += n;
            left -= n;
        }
        return now;
    }

    i64 full(i64 slot) {
        i64 stop = (slot + 1) * m.slot_words, longest = m.packet_words;
        i64 free = slot >= m.slots ? released[slot - m.slots] + m.release + 1 : 0;
        i64 filled = time;
        while (word < stop) {
            i64 at = word % longest, size = std::min(longest, words - (word - at));
            if (at == 0) {
                time = std::max(time, packet(size));
                takes(time, 1);
                time += m.packet_header;
            }
            i64 n = std::min(stop - word, size - at);
            time = take(std::max(time, free), n);
            word += n;
            filled = time;
            if (at + n == size) ++time;
        }
        return filled;
    }

    // Waits until a cycle in which no word of output is read.
    i64 unstolen(i64 now) {
        while (steal < steals.size() && steals[steal] <= now) {
            if (steals[steal] == now) ++now;
            ++steal;
        }
        return now;
    }

    i64 credit() const {
        i64 oldest = i64(retired.size()) - m.depth;
        return oldest > 0 ? retired[oldest] + 1 : 0;
    }

    i64 first = 0;

    i64 feed(i64 now, i64 vectors) {
        now = unstolen(now);
        first = now;
        while (vectors) {
            i64 stop = now + vectors;
            if (steal < steals.size()) stop = std::min(stop, steals[steal]);
            vectors -= stop - now;
            now = stop;
            if (vectors) now = unstolen(now);
        }
        return now;
    }

    i64 pass(i64 now, const Layer& l, bool last, i64 beats, i64& begun) {
        if (!last) {
            now = feed(now, l.results * l.window);
            begun = first;
            return now;
        }
        bool any = false;
        for (i64 i = 0; i < l.results; ++i) {
            if (l.window > 1) {
                now = feed(now, l.window - 1);
                if (!any) begun = first, any = true;
            }
            now = std::max(now, credit());
            now = feed(now, 1);
            i64 sent = first;
            if (!any) begun = sent, any = true;
            i64 begin = std::max(sent + m.latency, post_free);
            post_free = begin + beats * m.value;
            retired.push_back(begin + (beats - 1) * m.value + m.retire);
            // A write for each beat; those of cycles in a row are one.
            i64 writes = m.value == 1 ? 1 : beats;
            for (i64 j = 0; j < writes; ++j) {
                starts.push_back(begin + j * m.value + m.retire);
                stops.push_back(starts.back() + (m.value == 1 ? beats : 1));
            }
        }
        return now;
    }

    void layer(const Layer& l, i64 now, i64 ready, i64& end, i64& swap) {
        i64 issued = i64(retired.size()) - 1;
        now = std::max(now, ready);
        if (l.wait_input) now = std::max(now, full(i64(released.size())));
        i64 first_free = l.wait_emit || l.emit_words ? busy_until + 1 : 0;
        i64 start = 0, sums = l.kernel_y * l.slice, allow = l.allow;
        for (i64 block = 0; block < l.block; ++block) {
            for (i64 k = 0; k < sums; ++k) {
                for (i64 tile = 0; tile < l.tile; ++tile) {
                    now = std::max(now, ready);
                    i64 pending = issued - std::max<i64>(allow, 0);
                    i64 read = pending > 0 ? retired[pending] + 1 : 0;
                    now = std::max({now, read, timer});
                    if (k == sums - 1 && l.window == 1) now = std::max(now, credit());
                    now = unstolen(std::max(now, first_free));
                    first_free = 0;
                    i64 beats = tile == l.tile - 1 ? l.tail_beats : l.beats;
                    now = pass(now, l, k == sums - 1, beats, start);
                    ready = start + m.load;
                    timer = start + l.pass_min + 1 + (now - start - l.results * l.window);
                }
                if (k < sums - 1) allow += (k + 1) % l.slice ? l.allow_slice : l.allow_kernel_y;
            }
            if (block < l.block - 1) allow += l.allow_block;
        }
        end = now - 1;
        swap = start;
        if (l.release_input) released.push_back(end + 1);
        if (l.emit_words) {
            i64 header = std::max(end + 2, retired.back() + 1) + 1;
            for (i64 i = 0; i < l.emit_words; ++i) steals.push_back(header + 1 + m.read * i);
            busy_until = steals.back() + m.send;
            stamps.push_back(steals.back() + m.read_to_stamp - 1);
        }
    }

    void run() {
        i64 end = 0, swap = 0, valid = m.fetch;
        for (i64 number = 0; number < count * m.batches; ++number) {
            i64 loaded = number && valid <= swap ? swap : std::max(valid, swap + 1);
            i64 took = std::max(loaded + 1, end + 1);
            i64 index = number % count;
            // Nothing is fed until then: words of output that are read meanwhile cost nothing.
            while (steal < steals.size() && steals[steal] < took + 1) ++steal;
            layer(layers[index], took + 1, loaded + m.load, end, swap);
            valid = (m.prefetch ? took : end + m.freed) + m.fetch + (index == count - 1 ? m.end_fetch : 0);
        }
    }
};

}  // namespace

// Writes the stamps of all outputs and returns how many there are.
extern "C" i64 lepton_stamps(const Machine* machine, const Layer* layers, i64 count, i64* stamps) {
    Model model(*machine, layers, count);
    model.run();
    std::copy(model.stamps.begin(), model.stamps.end(), stamps);
    return i64(model.stamps.size());
}
