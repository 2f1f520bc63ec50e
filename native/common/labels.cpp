#include "common/labels.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>

namespace pqstore {
namespace {

constexpr int kPlaces = 256;
constexpr int kFours = 64;
constexpr int kRounds = 40;

// Orders the codewords of one sub-space: every float64 operation is one of the reference, in its order.
class Arrangement {
  public:
    // `points` (Ks, Ds). Place p holds codeword order()[p]; from Ks on there are no codewords.
    void arrange(const float* points, int64_t Ks, int64_t Ds) {
        measure(points, Ks, Ds);
        for (int i = 0; i < kPlaces; ++i) order_[i] = partner_[i] = i;
        std::fill(moved_, moved_ + kFours, true);
        for (int size = kPlaces; size > 4; size /= 2)
            for (int first = 0; first < kPlaces; first += size) split(points, Ks, Ds, order_ + first, size);
        for (int round = 0; round < kRounds && swap(); ++round) continue;
        for (int g = 0; g < kFours; ++g) pair(order_ + 4 * g);
    }

    const int* order() const { return order_; }

  private:
    // Places that no codeword takes are near to everything: they go where they make room.
    void measure(const float* points, int64_t Ks, int64_t Ds) {
        for (auto& row : distances_) std::fill(row, row + kPlaces, 0.0);
        double column[kPlaces];
        for (int64_t d = 0; d < Ds; ++d) {
            for (int64_t i = 0; i < Ks; ++i) {
                column[i] = points[i * Ds + d];
                for (int64_t j = 0; j < i; ++j) {
                    const double difference = column[i] - column[j];
                    distances_[i][j] += difference * difference;
                }
            }
        }
        for (int64_t i = 0; i < Ks; ++i)
            for (int64_t j = 0; j < i; ++j) distances_[j][i] = distances_[i][j] = std::sqrt(distances_[i][j]);
    }

    // Orders a group along its widest dimension; the halves are the next groups.
    void split(const float* points, int64_t Ks, int64_t Ds, int* group, int size) const {
        int64_t widest = 0;
        double width = -1;
        for (int64_t d = 0; d < Ds; ++d) {
            float least = points[group[0] % Ks * Ds + d], largest = least;
            for (int i = 1; i < size; ++i) {
                const float component = points[group[i] % Ks * Ds + d];
                least = std::min(least, component);
                largest = std::max(largest, component);
            }
            const double its_width = static_cast<double>(largest) - static_cast<double>(least);
            if (its_width > width) {
                width = its_width;
                widest = d;
            }
        }
        Ranked ranked[kPlaces];
        for (int i = 0; i < size; ++i) ranked[i] = {points[group[i] % Ks * Ds + widest], group[i]};
        std::stable_sort(ranked, ranked + size);
        for (int i = 0; i < size; ++i) group[i] = ranked[i].codeword;
    }

    // One round of swaps; false: none made the sum of the distances within groups smaller.
    bool swap() {
        int place[kPlaces];
        for (int p = 0; p < kPlaces; ++p) {
            group_[order_[p]] = p / 4;
            place[order_[p]] = p;
        }
        for (int g = 0; g < kFours; ++g) {
            if (!moved_[g]) continue;
            const double *a = distances_[order_[4 * g]], *b = distances_[order_[4 * g + 1]];
            const double *c = distances_[order_[4 * g + 2]], *d = distances_[order_[4 * g + 3]];
            for (int i = 0; i < kPlaces; ++i) to_group_[g][i] = ((a[i] + b[i]) + c[i]) + d[i];
        }
        find_partners();
        Ranked gainful[kPlaces];
        int count = 0;
        for (int i = 0; i < kPlaces; ++i)
            if (change_[i] < 0) gainful[count++] = {change_[i], i};
        std::stable_sort(gainful, gainful + count);
        std::fill(moved_, moved_ + kFours, false);
        bool any = false;
        for (int n = 0; n < count; ++n) {
            const int i = gainful[n].codeword, j = partner_[i];
            // Rounding must not make two codewords change places for ever.
            if (-change_[i] <= 1e-9 * distances_[i][j]) break;
            if (moved_[group_[i]] || moved_[group_[j]]) continue;
            moved_[group_[i]] = moved_[group_[j]] = any = true;
            std::swap(order_[place[i]], order_[place[j]]);
        }
        return any;
    }

    // For each codeword the one with which changing places changes the sum by the least, the lowest index on ties.
    void find_partners() {
        double to_own[kPlaces];
        int movers[kPlaces], mover_count = 0;
        for (int i = 0; i < kPlaces; ++i) {
            to_own[i] = to_group_[group_[i]][i];
            if (moved_[group_[i]]) movers[mover_count++] = i;
        }
        for (int i = 0; i < kPlaces; ++i) {
            const double *to_mine = to_group_[group_[i]], *distances = distances_[i];
            double nearer[kFours], changes[kPlaces];
            if (moved_[group_[i]] || moved_[group_[partner_[i]]]) {
                for (int g = 0; g < kFours; ++g) nearer[g] = to_group_[g][i] - to_own[i];
                for (int j = 0; j < kPlaces; ++j) changes[j] = nearer[group_[j]];
                for (int j = 0; j < kPlaces; ++j)
                    changes[j] = (changes[j] + (to_mine[j] - to_own[j])) - 2 * distances[j];
                for (int member = 0; member < 4; ++member) changes[order_[4 * group_[i] + member]] = 0;
                change_[i] = least_of(changes);
                partner_[i] = 0;
                while (changes[partner_[i]] != change_[i]) ++partner_[i];
                continue;
            }
            // Of two that stayed where they were, both changes are those of the round before.
            for (int n = 0; n < mover_count; ++n) {
                const int j = movers[n];
                const double change =
                    ((to_group_[group_[j]][i] - to_own[i]) + (to_mine[j] - to_own[j])) - 2 * distances[j];
                if (change < change_[i] || (change == change_[i] && j < partner_[i])) {
                    change_[i] = change;
                    partner_[i] = j;
                }
            }
        }
    }

    static double least_of(const double* values) {
        constexpr int kLanes = 8;  // side by side
        double least[kLanes] = {};
        for (int i = 0; i < kPlaces; i += kLanes)
            for (int lane = 0; lane < kLanes; ++lane)
                least[lane] = values[i + lane] < least[lane] ? values[i + lane] : least[lane];
        return *std::min_element(least, least + kLanes);
    }

    // Of the three ways to make two pairs, the one with the nearest.
    void pair(int* four) const {
        constexpr int kWays[3][4] = {{0, 1, 2, 3}, {0, 2, 1, 3}, {0, 3, 1, 2}};
        const int members[4] = {four[0], four[1], four[2], four[3]};
        double least = std::numeric_limits<double>::infinity();
        for (const auto& way : kWays) {
            const double apart =
                distances_[members[way[0]]][members[way[1]]] + distances_[members[way[2]]][members[way[3]]];
            if (apart < least) {
                least = apart;
                for (int i = 0; i < 4; ++i) four[i] = members[way[i]];
            }
        }
    }

    struct Ranked {
        double value;
        int codeword;

        bool operator<(const Ranked& other) const { return value < other.value; }
    };

    // Rows of powers of two would all begin in the same set of the cache.
    static constexpr int kStride = kPlaces + 8;

    double distances_[kPlaces][kStride];
    double to_group_[kFours][kStride];
    int order_[kPlaces];
    int group_[kPlaces];
    bool moved_[kFours];  // groups that the last round changed
    double change_[kPlaces];
    int partner_[kPlaces];
};

}  // namespace

void scan_labels(const Codewords& codewords, uint8_t* labels) {
    const int64_t M = codewords.M, Ks = codewords.Ks, Ds = codewords.Ds;
    const auto arrangement = std::make_unique<Arrangement>();
    for (int64_t m = 0; m < M; ++m) {
        arrangement->arrange(codewords.values + m * Ks * Ds, Ks, Ds);
        for (int p = 0; p < kPlaces; ++p) {
            const int codeword = arrangement->order()[p], four = p / 4, member = p % 4;
            if (codeword < Ks)
                labels[m * Ks + codeword] = static_cast<uint8_t>((four >> 2) | ((four & 3) << 6) | (member << 4));
        }
    }
}

}  // namespace pqstore
