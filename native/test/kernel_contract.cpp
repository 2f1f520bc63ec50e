// Holds one set of kernels to the portable ones, to the bit: the cases of tests/contract/ without Python, so that they
// run in an emulator too.
//     kernel_contract NAME
// The digest that it prints is of all results: machines that print the same one compute the same.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "services/dispatch.h"
#include "sets/sets.h"

namespace pqstore {
namespace {

constexpr float kInfinite = std::numeric_limits<float>::infinity();

struct Unmap {
    size_t size;
    void operator()(void* memory) const { munmap(memory, size); }
};

// An array that ends where readable memory ends: a kernel that reads or writes beyond it dies.
template <typename T>
class Exact {
  public:
    explicit Exact(int64_t count) : count_(count) {
        const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
        const size_t size = static_cast<size_t>(count) * sizeof(T), pages = (size + page - 1) / page * page;
        void* memory = mmap(nullptr, pages + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) std::abort();
        memory_ = {memory, Unmap{pages + page}};
        char* end = static_cast<char*>(memory) + pages;
        if (mprotect(end, page, PROT_NONE) != 0) std::abort();
        values_ = reinterpret_cast<T*>(end - size);
    }

    T* data() { return values_; }
    const T* data() const { return values_; }
    int64_t size() const { return count_; }
    T& operator[](int64_t i) { return values_[i]; }
    const T& operator[](int64_t i) const { return values_[i]; }
    T* begin() { return values_; }
    T* end() { return values_ + count_; }

  private:
    int64_t count_;
    std::unique_ptr<void, Unmap> memory_{nullptr, Unmap{0}};
    T* values_;
};

// Numbers that are the same on every machine: no distribution of the library, no function of libm. At most one call in
// an expression, because the order of evaluation is the compiler's.
class Random {
  public:
    explicit Random(uint64_t seed) : engine_(seed) {}

    int64_t below(int64_t limit) { return static_cast<int64_t>(engine_() % static_cast<uint64_t>(limit)); }
    float uniform() { return static_cast<float>(engine_() >> 40) * 0x1p-24f; }
    // About normal.
    float bell() {
        float sum = -2;
        for (int i = 0; i < 4; ++i) sum += uniform();
        return sum * 1.7f;
    }

    Exact<float> bells(int64_t count) {
        Exact<float> values(count);
        for (float& value : values) value = bell();
        return values;
    }

    template <typename Code>
    Exact<Code> codes(int64_t count, int64_t Ks) {
        Exact<Code> values(count);
        for (Code& value : values) value = static_cast<Code>(below(Ks));
        return values;
    }

  private:
    std::mt19937_64 engine_;
};

// What a chunk of originals points to: rows with other bytes between them, the last ending where memory ends.
struct Originals {
    Exact<uint8_t> stored;
    Exact<uint8_t> dead;
    int64_t stride;
    bool has_dead;
    int64_t rows;
    int64_t first_row;

    OriginalChunk chunk() const { return {stored.data(), stride, rows, first_row, has_dead ? dead.data() : nullptr}; }
};

// What a chunk points to.
struct Rows {
    Exact<uint8_t> packed;
    Exact<uint8_t> dead;
    bool has_dead;
    int64_t rows;
    int64_t first_row;

    Chunk chunk() const { return {packed.data(), rows, first_row, has_dead ? dead.data() : nullptr}; }
};

class Contract {
  public:
    explicit Contract(const KernelSet& kernels) : kernels_(kernels) {}

    // Returns whether everything was the same.
    bool run() {
        tables();
        assignment();
        rows_and_blocks();
        sums();
        scans_of_every_width();
        scans_of_many_rows();
        scans_of_few_rows();
        scans_of_special_tables();
        scans_of_ordered_rows();
        scans_of_damaged_codes();
        scans_by_threads();
        scans_of_lists();
        scores_of_centroids();
        exact_scans_of_every_width();
        exact_scans_of_special_values();
        exact_scans_by_threads();
        std::printf("%s: %lld comparisons with %s, %lld differ; digest %016llx\n", kernels_.name,
                    static_cast<long long>(comparisons_), kPortableKernels.name, static_cast<long long>(failures_),
                    static_cast<unsigned long long>(digest_));
        return failures_ == 0;
    }

  private:
    template <typename T>
    static bool equal(T a, T b) {
        if constexpr (std::is_floating_point_v<T>)
            if (std::isnan(a) && std::isnan(b)) return true;
        return std::memcmp(&a, &b, sizeof(T)) == 0;
    }

    template <typename T>
    void compare(const std::string& what, const Exact<T>& found, const Exact<T>& expected) {
        ++comparisons_;
        for (int64_t i = 0; i < expected.size(); ++i) {
            uint64_t bits = ~uint64_t{0};  // any NaN is like any other
            if (equal(expected[i], expected[i]) && expected[i] == expected[i]) {
                bits = 0;
                std::memcpy(&bits, &expected[i], sizeof(T));
            }
            digest_ = (digest_ ^ bits) * 0x100000001b3;  // after FNV-1a
        }
        for (int64_t i = 0; i < expected.size(); ++i) {
            if (equal(found[i], expected[i])) continue;
            ++failures_;
            std::printf("%s: value %lld is %.9g, not %.9g\n", what.c_str(), static_cast<long long>(i),
                        static_cast<double>(found[i]), static_cast<double>(expected[i]));
            return;
        }
    }

    template <typename... Numbers>
    static std::string called(const char* name, const Numbers&... numbers) {
        std::string text = name;
        ((text += ' ', text += std::to_string(numbers)), ...);
        return text;
    }

    // ---- distance tables, sums

    void tables() {
        Random random(1);
        const int64_t shapes[][2] = {{1, 1}, {3, 7}, {2, 8}, {2, 33}, {5, 256}};
        for (int64_t Ds : {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 33})
            for (const auto& [M, Ks] : shapes)
                for (int64_t n : {0, 1, 2, 4, 5, 9})
                    for (float magnitude : {1.0f, 1e20f}) {
                        Exact<float> words = random.bells(M * Ks * Ds), queries = random.bells(n * M * Ds);
                        for (float& value : words) value *= magnitude;
                        for (float& value : queries) value *= magnitude;
                        for (bool dot : {false, true}) {
                            Exact<float> found(n * M * Ks), expected(n * M * Ks);
                            const Codewords codewords{words.data(), M, Ks, Ds};
                            kernels_.dtables(queries.data(), n, codewords, dot, found.data());
                            kPortableKernels.dtables(queries.data(), n, codewords, dot, expected.data());
                            compare(called("dtables, Ds, M, Ks, n, dot:", Ds, M, Ks, n, dot), found, expected);
                        }
                    }
    }

    template <typename Code>
    void sum_rows(Random& random, int64_t n, int64_t M, int64_t Ks, int64_t largest) {
        const Exact<float> table = random.bells(M * Ks);
        const Exact<Code> codes = random.codes<Code>(n * M, largest);
        Exact<float> found(n), expected(n);
        const CodeRows rows{codes.data(), n, M, static_cast<int>(sizeof(Code))};
        kernels_.adist(table.data(), Ks, rows, 1, found.data());
        kPortableKernels.adist(table.data(), Ks, rows, 1, expected.data());
        compare(called("adist, n, M, Ks, width:", n, M, Ks, sizeof(Code)), found, expected);
    }

    void sums() {
        Random random(2);
        for (int64_t M = 1; M <= 130; ++M) {
            sum_rows<uint8_t>(random, 33, M, 256, 256);
            sum_rows<uint8_t>(random, 5, M, 100, 256);
            sum_rows<uint16_t>(random, 5, M, 300, 310);
        }
        for (int64_t n : {0, 1, 31, 32, 33, 40000}) sum_rows<uint32_t>(random, n, 5, 90, 91);
    }

    // ---- encoding, Lloyd steps, blocks

    template <typename Code>
    void encode_rows(const char* name, const Exact<float>& vectors, int64_t n, const Exact<float>& words, int64_t M,
                     int64_t Ks, int64_t Ds, int threads = 1) {
        Exact<Code> found(n * M), expected(n * M);
        const Codewords codewords{words.data(), M, Ks, Ds};
        kernels_.encode(vectors.data(), n, codewords, threads, sizeof(Code), found.data());
        kPortableKernels.encode(vectors.data(), n, codewords, 1, sizeof(Code), expected.data());
        compare(called(name, n, M, Ks, Ds, threads), found, expected);
    }

    void lloyd(Random& random, int64_t M, int64_t n, int64_t Ks, int64_t Ds, int threads) {
        const Exact<float> groups = random.bells(M * n * Ds), words = random.bells(M * Ks * Ds);
        const Codewords codewords{words.data(), M, Ks, Ds};
        const std::string name = called("lloyd_step, M, n, Ks, Ds, threads:", M, n, Ks, Ds, threads);
        Exact<uint16_t> labels(M * n), expected_labels(M * n);
        Exact<double> totals(M * Ks * Ds), expected_totals(M * Ks * Ds);
        Exact<int64_t> counts(M * Ks), expected_counts(M * Ks);
        kernels_.lloyd_step(groups.data(), n, codewords, threads, 2, labels.data(), totals.data(), counts.data());
        kPortableKernels.lloyd_step(groups.data(), n, codewords, 1, 2, expected_labels.data(), expected_totals.data(),
                                    expected_counts.data());
        compare(name, labels, expected_labels);
        compare(name, totals, expected_totals);
        compare(name, counts, expected_counts);
    }

    void assignment() {
        Random random(3);
        for (int64_t Ds : {1, 2, 3, 4, 7, 8, 9, 16, 31, 384})
            for (int64_t Ks : {1, 2, 16, 31, 32, 33, 255, 256, 257, 1000}) {
                const Exact<float> words = random.bells(2 * Ks * Ds);
                for (int64_t n : {0, 1, 2, 3, 33, 129}) {
                    if (Ds > 31 && (Ks > 257 || n > 33)) continue;  // slow to emulate
                    encode_rows<uint16_t>("encode, n, M, Ks, Ds, threads:", random.bells(n * 2 * Ds), n, words, 2, Ks,
                                          Ds);
                }
            }
        for (int64_t Ks : {8, 256, 600}) {
            // Small whole numbers: many codewords are the same, and many vectors lie exactly between two.
            Exact<float> words(3 * Ks * 4), vectors(500 * 12);
            for (float& value : words) value = static_cast<float>(random.below(5) - 2);
            for (float& value : vectors) value = static_cast<float>(random.below(9) - 4) / 2;
            encode_rows<uint16_t>("encode ties, n, M, Ks, Ds, threads:", vectors, 500, words, 3, Ks, 4);
        }
        // Far from the origin scores cannot tell codewords apart; huge ones overflow, tiny ones are denormal.
        for (float offset : {0.0f, 1.0f, 1e3f, 1e6f})
            for (float magnitude : {1.0f, 1e-42f, 1e-25f, 1e18f, 1e25f, 1e38f}) {
                Exact<float> words = random.bells(2 * 70 * 6), vectors = random.bells(100 * 12);
                for (float& value : words) value = value * magnitude + offset;
                for (float& value : vectors) value = value * magnitude + offset;
                encode_rows<uint8_t>("encode far off, n, M, Ks, Ds, threads:", vectors, 100, words, 2, 70, 6);
            }
        // Twins: each codeword has one other, `apart` places on, whose distances differ by less than scores can tell.
        for (int64_t apart : {1, 4, 8, 32, 128}) {
            Exact<float> words = random.bells(256 * 8), vectors(500 * 8);
            for (int64_t k = 0; k < 256; ++k)
                if (k / apart % 2 == 1)
                    for (int64_t d = 0; d < 8; ++d)
                        words[k * 8 + d] = words[(k - apart) * 8 + d] * (d == k % 8 ? 1 + 0x1p-23f : 1);
            for (int64_t i = 0; i < 500; ++i) {
                const int64_t k = random.below(256);
                for (int64_t d = 0; d < 8; ++d) vectors[i * 8 + d] = words[k * 8 + d] + random.bell() / 10;
            }
            encode_rows<uint8_t>("encode twins, n, M, Ks, Ds, threads:", vectors, 500, words, 1, 256, 8);
        }
        const Exact<float> words = random.bells(4 * 256 * 8), vectors = random.bells(1000 * 32);
        for (int threads : {2, 3, 7})
            encode_rows<uint8_t>("encode, n, M, Ks, Ds, threads:", vectors, 1000, words, 4, 256, 8, threads);
        const Exact<float> many_words = random.bells(65536 * 3);
        encode_rows<uint32_t>("encode, n, M, Ks, Ds, threads:", random.bells(5 * 3), 5, many_words, 1, 65536, 3);
        for (int threads : {1, 2, 5}) {
            lloyd(random, 1, 0, 4, 3, threads);
            lloyd(random, 3, 1, 5, 1, threads);
            lloyd(random, 2, 2500, 256, 8, threads);
            lloyd(random, 1, 300, 500, 40, threads);
        }
    }

    void rows_and_blocks() {
        Random random(4);
        for (LayoutKind kind : {LayoutKind::kBlock8, LayoutKind::kBlock4})
            for (int64_t M = 1; M <= 130; ++M)
                for (int64_t n : {0, 1, 31, 32, 33, 100}) {
                    const Layout layout = layout_of(kind, M);
                    const Exact<uint8_t> codes = random.codes<uint8_t>(n * M, layout.table_size);
                    Exact<uint8_t> found(layout.packed_size(n)), expected(layout.packed_size(n)), back(n * M);
                    kernels_.pack(layout, codes.data(), n, found.data());
                    kPortableKernels.pack(layout, codes.data(), n, expected.data());
                    compare(called("pack, M, n:", M, n), found, expected);
                    kernels_.unpack(layout, found.data(), n, back.data());
                    compare(called("unpack, M, n:", M, n), back, codes);
                }
    }

    // ---- scans

    static Layout layout_of(LayoutKind kind, int64_t M) {
        switch (kind) {
            case LayoutKind::kBlock8: return {kind, M, 256};
            case LayoutKind::kBlock4: return {kind, M, 16};
            case LayoutKind::kRows16: return {kind, M, 300};
            case LayoutKind::kRows32: return {kind, M, 1000};
        }
        return {kind, M, 1};
    }

    // Like those of a real query: entries near each other for labels with a common low nibble and prefix.
    static Exact<float> query_tables(Random& random, const Layout& layout, int64_t queries) {
        Exact<float> entries(queries * layout.M * layout.table_size);
        float* table = entries.data();
        for (int64_t i = 0; i < queries * layout.M; ++i, table += layout.table_size) {
            float groups[16], prefixes[16];
            for (float& group : groups) group = random.uniform();
            for (float& prefix : prefixes) prefix = random.uniform() / 4;
            for (int64_t label = 0; label < layout.table_size; ++label) {
                const float root = groups[label & 15] + prefixes[label >> 4 & 15];
                table[label] = root * root + random.uniform() / 50;
            }
        }
        return entries;
    }

    // One chunk a length, every other one with a share of dead rows, with gaps between the row numbers. Blocks are
    // random throughout: what lies in the rows and the sub-space that pad them must not matter.
    static std::vector<Rows> chunks(Random& random, const Layout& layout, const std::vector<int64_t>& lengths,
                                    float dead = 0.1f) {
        std::vector<Rows> made;
        int64_t first_row = random.below(1000);
        for (int64_t rows : lengths) {
            Rows chunk{Exact<uint8_t>(layout.packed_size(rows)), Exact<uint8_t>((rows + 7) / 8), made.size() % 2 == 1,
                       rows, first_row};
            if (layout.in_blocks()) {
                for (uint8_t& byte : chunk.packed) byte = static_cast<uint8_t>(random.below(256));
            } else if (layout.kind == LayoutKind::kRows16) {
                // Some codes that no table has.
                const Exact<uint16_t> codes = random.codes<uint16_t>(rows * layout.M, layout.table_size + 5);
                std::memcpy(chunk.packed.data(), codes.data(), static_cast<size_t>(chunk.packed.size()));
            } else {
                const Exact<uint32_t> codes = random.codes<uint32_t>(rows * layout.M, layout.table_size + 5);
                std::memcpy(chunk.packed.data(), codes.data(), static_cast<size_t>(chunk.packed.size()));
            }
            for (int64_t row = 0; row < rows; ++row) {
                uint8_t& byte = chunk.dead[row / 8];
                if (row % 8 == 0) byte = 0;
                if (random.uniform() < dead) byte = static_cast<uint8_t>(byte | 1 << row % 8);
            }
            made.push_back(std::move(chunk));
            first_row += rows + random.below(50);
        }
        return made;
    }

    void scan(const char* name, const std::vector<Rows>& rows, const Layout& layout, const Exact<float>& tables,
              int64_t k, int threads = 1) {
        std::vector<Chunk> list;
        for (const Rows& chunk : rows)
            if (chunk.rows > 0) list.push_back(chunk.chunk());
        const int64_t queries = tables.size() / (layout.M * layout.table_size);
        Exact<float> distances(queries * k), expected_distances(queries * k);
        Exact<int64_t> found_rows(queries * k), expected_rows(queries * k);
        ScanRequest request{list.data(),      static_cast<int64_t>(list.size()),
                            layout,           tables.data(),
                            queries,          k,
                            threads,          distances.data(),
                            found_rows.data()};
        kernels_.scan(request);
        request.threads = 1;
        request.distances = expected_distances.data();
        request.rows = expected_rows.data();
        kPortableKernels.scan(request);
        const std::string what = called((std::string("scan, ") + name + ", layout, M, queries, k, threads:").c_str(),
                                        static_cast<int>(layout.kind), layout.M, queries, k, threads);
        compare(what, distances, expected_distances);
        compare(what, found_rows, expected_rows);
    }

    void scans_of_every_width() {
        Random random(5);
        for (int64_t M = 1; M <= 130; ++M)
            for (LayoutKind kind : {LayoutKind::kBlock8, LayoutKind::kBlock4, LayoutKind::kRows16}) {
                const Layout layout = layout_of(kind, M);
                const std::vector<Rows> rows = chunks(random, layout, {0, 1, 31, 32, 33, 163});
                for (int64_t n : {1, 5}) {
                    const int64_t k = 1 + random.below(39);
                    scan("widths", rows, layout, query_tables(random, layout, n), k);
                }
            }
    }

    void scans_of_many_rows() {
        Random random(6);
        const int64_t cases[][2] = {{1, 1}, {1, 10}, {1, 100}, {3, 10}, {12, 20}, {26, 60}};
        for (LayoutKind kind : {LayoutKind::kBlock8, LayoutKind::kBlock4})
            for (int64_t M : {1, 2, 5, 16, 31, 48, 96, 129}) {
                const Layout layout = layout_of(kind, M);
                const std::vector<Rows> rows = chunks(random, layout, {5000, 77, 4096, 3001});
                for (const auto& [n, k] : cases) {
                    if (n > 3 && M > 31) continue;  // slow to emulate
                    scan("many rows", rows, layout, query_tables(random, layout, n), k);
                }
            }
    }

    void scans_of_few_rows() {
        Random random(7);
        for (LayoutKind kind : kKinds) {
            const Layout three = layout_of(kind, 3), four = layout_of(kind, 4);
            const std::vector<Rows> rows = chunks(random, three, {33, 12});
            for (int64_t k = 1; k <= 45 + 5; ++k)
                scan("every k", rows, three, query_tables(random, three, 1 + k % 9), k);
            for (int64_t length : {0, 1, 31, 32, 33}) {
                const std::vector<Rows> one = chunks(random, four, {length});
                for (int64_t n : {1, 3, 33}) scan("one chunk", one, four, query_tables(random, four, n), 5);
            }
            scan("no chunks", {}, four, query_tables(random, four, 2), 3);
            for (int threads : {1, 2, 8}) scan("no queries", rows, three, query_tables(random, three, 0), 3, threads);
            for (float dead : {0.5f, 0.999f, 1.0f}) {
                const std::vector<Rows> sparse = chunks(random, four, {1, 4001, 1, 95, 1, 33}, dead);
                for (int64_t n : {1, 12}) scan("dead rows", sparse, four, query_tables(random, four, n), 10);
            }
        }
    }

    // Pieces of lists that begin within a block, whose rows are dead by their numbers, beside chunks that are in no list.
    void scans_of_lists() {
        Random random(15);
        for (LayoutKind kind : kKinds)
            for (int64_t M : {3, 16, 41})
                for (int64_t length : {200, 3000, 40000}) {
                    const Layout layout = layout_of(kind, M);
                    const std::vector<Rows> rows = chunks(random, layout, {length, 70, length / 3, 33});
                    const Exact<uint32_t> numbers = row_numbers(random, length);
                    Exact<uint8_t> bitmap(512);
                    for (uint8_t& byte : bitmap) byte = static_cast<uint8_t>(random.below(256) & random.below(256));
                    const int64_t segments[] = {2, 3, 9};
                    const uint8_t* dead[] = {bitmap.data(), nullptr, bitmap.data()};
                    const Living living{segments, dead, 3, 4096};
                    std::vector<Chunk> pieces;
                    for (const Rows& chunk : rows) {
                        pieces.push_back({chunk.packed.data(), chunk.rows, 5000, nullptr, numbers.data(),
                                          random.below(std::min<int64_t>(chunk.rows, 32))});
                    }
                    pieces.push_back({rows[1].packed.data(), rows[1].rows, 1 << 20, nullptr});
                    for (int64_t k : {1, 10, 120})
                        for (bool scattered : {false, true})
                            scan_pieces(pieces, layout, query_tables(random, layout, 1), k, living, scattered);
                }
    }

    static Exact<uint32_t> row_numbers(Random& random, int64_t count) {
        Exact<uint32_t> numbers(count);
        for (uint32_t& number : numbers) number = static_cast<uint32_t>(random.below(40000));
        return numbers;
    }

    void scan_pieces(const std::vector<Chunk>& pieces, const Layout& layout, const Exact<float>& tables, int64_t k,
                     const Living& living, bool scattered) {
        Exact<float> distances(k), expected_distances(k);
        Exact<int64_t> found_rows(k), expected_rows(k);
        ScanRequest request{pieces.data(), static_cast<int64_t>(pieces.size()),
                            layout,        tables.data(),
                            1,             k,
                            2,             distances.data(),
                            found_rows.data(), &living,
                            scattered};
        kernels_.scan(request);
        request.threads = 1;
        request.distances = expected_distances.data();
        request.rows = expected_rows.data();
        kPortableKernels.scan(request);
        const std::string what = called("scan of lists, layout, M, k:", static_cast<int>(layout.kind), layout.M, k);
        compare(what, distances, expected_distances);
        compare(what, found_rows, expected_rows);
    }

    void scores_of_centroids() {
        Random random(16);
        for (int64_t D : {16, 32, 128, 400})
            for (int64_t P : {0, 1, 5, 300}) {
                Exact<int16_t> centroids(P * D), query(D);
                Exact<int32_t> halves(P), found(P), expected(P);
                for (int16_t& step : centroids) step = static_cast<int16_t>(random.below(2001) - 1000);
                for (int16_t& step : query) step = static_cast<int16_t>(random.below(2001) - 1000);
                for (int32_t& half : halves) half = static_cast<int32_t>(random.below(1 << 29));
                kernels_.centroid_scores(centroids.data(), halves.data(), P, D, query.data(), found.data());
                kPortableKernels.centroid_scores(centroids.data(), halves.data(), P, D, query.data(), expected.data());
                compare(called("centroid scores, P, D:", P, D), found, expected);
            }
    }

    void scans_of_special_tables() {
        Random random(8);
        for (LayoutKind kind : kKinds) {
            const Layout layout = layout_of(kind, 9);
            std::vector<Rows> rows = chunks(random, layout, {3000, 100, 2000});
            // Ties go to the lowest row, wherever its chunk comes in the list.
            std::reverse(rows.begin(), rows.end());
            for (float value : {0.0f, 0.1f, -7.5f, kInfinite})
                for (int64_t n : {1, 12})
                    for (int64_t k : {1, 100}) {
                        Exact<float> same(n * layout.M * layout.table_size);
                        std::fill(same.begin(), same.end(), value);
                        scan("equal distances", rows, layout, same, k);
                    }
            for (float special : {kInfinite, -kInfinite, std::nanf(""), 3e38f, 1e-42f})
                for (float share : {0.02f, 0.5f, 1.0f})
                    for (int64_t n : {1, 9}) {
                        Exact<float> entries = query_tables(random, layout, n);
                        for (float& entry : entries)
                            if (random.uniform() < share) entry = special;
                        scan("special entries", rows, layout, entries, 20);
                    }
        }
        for (LayoutKind kind : {LayoutKind::kBlock8, LayoutKind::kBlock4}) {
            // Entries of either sign, and distances that differ by little more than rounding.
            const Layout layout = layout_of(kind, 24);
            const std::vector<Rows> rows = chunks(random, layout, {6000});
            for (float magnitude : {1e-30f, 1.0f, 1e30f})
                for (float offset : {0.0f, 1000.0f})
                    for (float sign : {1.0f, -1.0f})
                        for (int64_t n : {1, 3}) {
                            Exact<float> entries = query_tables(random, layout, n);
                            for (float& entry : entries)
                                entry = sign * ((entry - 0.4f) * magnitude + offset * magnitude);
                            scan("scaled entries", rows, layout, entries, 10);
                        }
        }
    }

    // Rows from near to far and back: the limit stays, or falls with every row.
    void scans_of_ordered_rows() {
        Random random(9);
        for (LayoutKind kind : {LayoutKind::kBlock8, LayoutKind::kBlock4}) {
            const Layout layout = layout_of(kind, 8);
            const int64_t n = 5000, M = layout.M;
            const Exact<uint8_t> codes = random.codes<uint8_t>(n * M, layout.table_size);
            const Exact<float> entries = query_tables(random, layout, 1);
            Exact<float> distances(n);
            kPortableKernels.adist(entries.data(), layout.table_size, {codes.data(), n, M, 1}, 1, distances.data());
            std::vector<int64_t> order(static_cast<size_t>(n));
            std::iota(order.begin(), order.end(), 0);
            std::stable_sort(order.begin(), order.end(),
                             [&](int64_t a, int64_t b) { return distances[a] < distances[b]; });
            for (int turn = 0; turn < 2; ++turn) {
                Exact<uint8_t> ordered(n * M);
                for (int64_t i = 0; i < n; ++i)
                    std::copy_n(codes.data() + order[static_cast<size_t>(i)] * M, M, ordered.data() + i * M);
                std::vector<Rows> rows;
                rows.push_back({Exact<uint8_t>(layout.packed_size(n)), Exact<uint8_t>(0), false, n, 0});
                kPortableKernels.pack(layout, ordered.data(), n, rows[0].packed.data());
                for (int64_t k : {1, 10, 100}) scan("ordered rows", rows, layout, entries, k);
                std::reverse(order.begin(), order.end());
            }
        }
    }

    void scans_of_damaged_codes() {
        Random random(10);
        for (LayoutKind kind : {LayoutKind::kRows16, LayoutKind::kRows32}) {
            const Layout layout = layout_of(kind, 3);
            std::vector<Rows> rows = chunks(random, layout, {200});
            for (uint8_t& byte : rows[0].packed)
                if (random.uniform() < 0.2f) byte = 255;
            scan("damaged codes", rows, layout, query_tables(random, layout, 2), 205);
        }
    }

    void scans_by_threads() {
        Random random(11);
        for (LayoutKind kind : {LayoutKind::kBlock8, LayoutKind::kBlock4})
            for (int64_t n : {1, 5, 40}) {
                // Enough rows that a scan is worth several threads, and many ties, which they meet in different orders.
                const Layout layout = layout_of(kind, n == 1 ? 96 : 16);
                const std::vector<Rows> rows =
                    n == 1 ? chunks(random, layout, {20000, 16384, 9999}) : chunks(random, layout, {6000, 1024, 2047});
                Exact<float> entries = query_tables(random, layout, n);
                for (float& entry : entries) entry = static_cast<float>(static_cast<int>(entry * 10)) / 10;
                for (int threads : {1, 2, 3, 8}) scan("threads", rows, layout, entries, 25, threads);
            }
    }

    // ---- exact scans

    static int64_t original_bytes(OriginalKind kind, int64_t D) {
        switch (kind) {
            case OriginalKind::kFloat32: return 4 * D;
            case OriginalKind::kFloat16: return 2 * D;
            case OriginalKind::kInt8: return D + 8;
        }
        return 0;
    }

    // Values about `magnitude` in float32; finite ones of any size in float16.
    static void put_original(Random& random, OriginalKind kind, int64_t D, float magnitude, uint8_t* to) {
        for (int64_t d = 0; d < D; ++d) {
            if (kind == OriginalKind::kFloat32) {
                const float value = random.bell() * magnitude;
                std::memcpy(to + 4 * d, &value, 4);
            } else if (kind == OriginalKind::kFloat16) {
                const auto half = static_cast<uint16_t>(random.below(65536) & ~0x4000);
                std::memcpy(to + 2 * d, &half, 2);
            } else {
                to[d] = static_cast<uint8_t>(random.below(256));
            }
        }
        if (kind == OriginalKind::kInt8) {
            const float scale = random.uniform() * magnitude, offset = random.bell() * magnitude;
            std::memcpy(to + D, &scale, 4);
            std::memcpy(to + D + 4, &offset, 4);
        }
    }

    static std::vector<Originals> originals(Random& random, OriginalKind kind, int64_t D,
                                            const std::vector<int64_t>& lengths, float magnitude = 1) {
        std::vector<Originals> made;
        const int64_t size = original_bytes(kind, D);
        int64_t first_row = random.below(1000);
        for (int64_t rows : lengths) {
            const int64_t stride = size + random.below(9);
            Originals chunk{Exact<uint8_t>((rows - 1) * stride + size), Exact<uint8_t>((rows + 7) / 8), stride,
                            made.size() % 2 == 1, rows, first_row};
            for (int64_t row = 0; row < rows; ++row) {
                put_original(random, kind, D, magnitude, chunk.stored.data() + row * stride);
                // Some rows are the same as one before.
                if (row > 0 && random.below(8) == 0)
                    std::memcpy(chunk.stored.data() + row * stride,
                                chunk.stored.data() + random.below(row) * stride, static_cast<size_t>(size));
            }
            for (uint8_t& byte : chunk.dead) {
                byte = 0;
                for (int bit = 0; bit < 8; ++bit)
                    if (random.below(5) == 0) byte = static_cast<uint8_t>(byte | 1 << bit);
            }
            made.push_back(std::move(chunk));
            first_row += rows + random.below(50);
        }
        return made;
    }

    void exact_scan(const char* name, const std::vector<Originals>& chunks, OriginalKind kind, ExactMetric metric,
                    const Exact<double>& vectors, int64_t D, int64_t k, int threads = 1) {
        std::vector<OriginalChunk> list;
        for (const Originals& chunk : chunks) list.push_back(chunk.chunk());
        const int64_t queries = vectors.size() / D;
        Exact<float> distances(queries * k), expected_distances(queries * k);
        Exact<int64_t> found_rows(queries * k), expected_rows(queries * k);
        ExactScanRequest request{list.data(), static_cast<int64_t>(list.size()), kind,    metric,           D,
                                 vectors.data(), queries,                        k,       threads,          distances.data(),
                                 found_rows.data()};
        kernels_.exact_scan(request);
        request.threads = 1;
        request.distances = expected_distances.data();
        request.rows = expected_rows.data();
        kPortableKernels.exact_scan(request);
        const std::string what =
            called((std::string("exact scan, ") + name + ", kind, metric, D, queries, k, threads:").c_str(),
                   static_cast<int>(kind), static_cast<int>(metric), D, queries, k, threads);
        compare(what, distances, expected_distances);
        compare(what, found_rows, expected_rows);
    }

    static Exact<double> exact_queries(Random& random, int64_t count, float magnitude = 1) {
        Exact<double> values(count);
        for (double& value : values) value = static_cast<double>(random.bell() * magnitude);
        return values;
    }

    void exact_scans_of_every_width() {
        Random random(12);
        std::vector<int64_t> widths = {100, 384};
        for (int64_t D = 1; D <= 40; ++D) widths.push_back(D);
        for (int64_t D : widths)
            for (OriginalKind kind : kOriginalKinds) {
                const std::vector<Originals> chunks = originals(random, kind, D, {1, 33, 16, 50, 17});
                for (ExactMetric metric : kMetrics)
                    for (int64_t n : {1, 5, 13}) {
                        const int64_t k = 1 + random.below(39);
                        exact_scan("widths", chunks, kind, metric, exact_queries(random, n * D), D, k);
                    }
            }
        exact_scan("no chunks", {}, OriginalKind::kFloat32, ExactMetric::kL2, exact_queries(random, 8), 4, 3);
    }

    // Float32 sums vanish, lose their bits, or overflow.
    void exact_scans_of_special_values() {
        Random random(13);
        for (float of_rows : {1e-45f, 1e-40f, 1e-22f, 1.0f, 1e15f, 1e19f, 1e37f, 3e38f, kInfinite, std::nanf("")})
            for (float of_queries : {1e-44f, 1e-20f, 1.0f, 1e19f, 1e37f}) {
                const std::vector<Originals> chunks =
                    originals(random, OriginalKind::kFloat32, 11, {60, 47, 90}, of_rows);
                for (ExactMetric metric : kMetrics)
                    for (int64_t n : {1, 7})
                        exact_scan("special values", chunks, OriginalKind::kFloat32, metric,
                                   exact_queries(random, n * 11, of_queries), 11, 20);
            }
    }

    void exact_scans_by_threads() {
        Random random(14);
        const std::vector<Originals> chunks = originals(random, OriginalKind::kFloat32, 200, {9000, 77, 9000});
        for (ExactMetric metric : kMetrics)
            for (int64_t n : {1, 9})
                for (int threads : {1, 2, 5})
                    exact_scan("threads", chunks, OriginalKind::kFloat32, metric, exact_queries(random, n * 200), 200,
                               25, threads);
    }

    static constexpr OriginalKind kOriginalKinds[] = {OriginalKind::kFloat32, OriginalKind::kFloat16,
                                                      OriginalKind::kInt8};
    static constexpr ExactMetric kMetrics[] = {ExactMetric::kL2, ExactMetric::kDot, ExactMetric::kCosine};
    static constexpr LayoutKind kKinds[] = {LayoutKind::kBlock8, LayoutKind::kBlock4, LayoutKind::kRows16,
                                            LayoutKind::kRows32};

    const KernelSet& kernels_;
    int64_t comparisons_ = 0, failures_ = 0;
    uint64_t digest_ = 0xcbf29ce484222325;
};

}  // namespace
}  // namespace pqstore

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fprintf(stderr, "usage: %s KERNELS\n", argv[0]);
        return 2;
    }
    const pqstore::KernelSet* kernels = pqstore::find_kernels(argv[1]);
    if (!kernels) {
        std::fprintf(stderr, "no kernels named %s run here\n", argv[1]);
        return 2;
    }
    return pqstore::Contract(*kernels).run() ? 0 : 1;
}
