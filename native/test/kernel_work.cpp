// Runs one kernel a number of times over arrays from files, so that what it takes can be counted from outside.
//     kernel_work KERNELS TIMES scan   M Ks K  CODES TABLES        codes uint8 (n, M), tables float32 (queries, M, Ks)
//     kernel_work KERNELS TIMES encode M Ks Ds VECTORS CODEWORDS   float32 (n, M * Ds) and (M, Ks, Ds)
//     kernel_work KERNELS TIMES tables M Ks Ds QUERIES CODEWORDS   float32 (n, M * Ds) and (M, Ks, Ds)
// Prints the sum of the results, by which two sets of kernels can be told to have done the same.
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "services/dispatch.h"

namespace {

using namespace pqstore;

[[noreturn]] void fail(const std::string& what) {
    std::fprintf(stderr, "kernel_work: %s\n", what.c_str());
    std::exit(2);
}

template <typename T>
std::vector<T> read(const char* path) {
    std::FILE* file = std::fopen(path, "rb");
    if (!file) fail(std::string("cannot open ") + path);
    std::vector<T> values;
    T part[4096];
    for (size_t count; (count = std::fread(part, sizeof(T), 4096, file)) > 0;)
        values.insert(values.end(), part, part + count);
    if (std::ferror(file)) fail(std::string("cannot read ") + path);
    std::fclose(file);
    return values;
}

template <typename T>
double sum(const std::vector<T>& values) {
    double total = 0;
    for (T value : values) total += static_cast<double>(value);
    return total;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 9) fail("needs 8 arguments");
    const KernelSet* kernels = find_kernels(argv[1]);
    if (!kernels) fail(std::string("no kernels named ") + argv[1] + " run here");
    const std::string work = argv[3];
    const int64_t times = std::atoll(argv[2]), M = std::atoll(argv[4]), Ks = std::atoll(argv[5]);
    const int64_t k_or_Ds = std::atoll(argv[6]);
    if (M < 1 || Ks < 1 || k_or_Ds < 1) fail("M, Ks, K and Ds are at least 1");

    if (work == "scan") {
        const Layout layout{Ks == 16 ? LayoutKind::kBlock4 : LayoutKind::kBlock8, M, Ks};
        if (Ks != 16 && Ks != 256) fail("Ks is 16 or 256");
        const auto codes = read<uint8_t>(argv[7]);
        const auto tables = read<float>(argv[8]);
        const int64_t n = static_cast<int64_t>(codes.size()) / M,
                      queries = static_cast<int64_t>(tables.size()) / (M * Ks);
        std::vector<uint8_t> packed(static_cast<size_t>(layout.packed_size(n)));
        kernels->pack(layout, codes.data(), n, packed.data());
        const Chunk chunk{packed.data(), n, 0, nullptr};
        std::vector<float> distances(static_cast<size_t>(queries * k_or_Ds));
        std::vector<int64_t> rows(distances.size());
        for (int64_t i = 0; i < times; ++i)
            for (int64_t q = 0; q < queries; ++q)
                kernels->scan({&chunk, 1, layout, tables.data() + q * M * Ks, 1, k_or_Ds, 1,
                               distances.data() + q * k_or_Ds, rows.data() + q * k_or_Ds});
        std::printf("%.17g\n", sum(distances) + sum(rows));
        return 0;
    }

    const auto vectors = read<float>(argv[7]), words = read<float>(argv[8]);
    const int64_t n = static_cast<int64_t>(vectors.size()) / (M * k_or_Ds);
    const Codewords codewords{words.data(), M, Ks, k_or_Ds};
    if (static_cast<int64_t>(words.size()) != M * Ks * k_or_Ds) fail("the codewords are not (M, Ks, Ds)");
    if (work == "encode") {
        std::vector<uint16_t> codes(static_cast<size_t>(n * M));
        for (int64_t i = 0; i < times; ++i) kernels->encode(vectors.data(), n, codewords, 1, 2, codes.data());
        std::printf("%.17g\n", sum(codes));
    } else if (work == "tables") {
        std::vector<float> tables(static_cast<size_t>(n * M * Ks));
        for (int64_t i = 0; i < times; ++i)
            for (int64_t q = 0; q < n; ++q)
                kernels->dtables(vectors.data() + q * M * k_or_Ds, 1, codewords, false, tables.data() + q * M * Ks);
        std::printf("%.17g\n", sum(tables));
    } else {
        fail("unknown work " + work);
    }
    return 0;
}
