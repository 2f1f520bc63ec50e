// Candidates by codes, and the nearest of them by their originals, prepared once for the searches of a state.
#pragma once

#include <nanobind/nanobind.h>

#include <memory>
#include <string>
#include <vector>

#include "bindings/original_kinds.h"
#include "bindings/stored_rows.h"
#include "originals/nearest_stored.h"

namespace pqstore {

class ExactRanking {
  public:
    // `files` as of StoredFiles: those that are mapped so far. So many `candidates` a query.
    ExactRanking(const std::string& kind, const std::string& metric, nb::dict files, int64_t segment_rows, int64_t D,
                 bool portable, int64_t candidates)
        : files_(std::move(files)), segment_rows_(segment_rows), candidates_(candidates) {
        require(D >= 1 && segment_rows >= 1 && candidates >= 1, "D, segment_rows and candidates must be at least 1");
        const OriginalKind stored = kind_named(kind);
        const auto size = static_cast<size_t>(D);
        originals_ = {stored, metric_named(metric), size, bytes_of(stored, size), portable};
    }

    int64_t dimension() const { return static_cast<int64_t>(originals_.D); }
    int64_t candidates() const { return candidates_; }

    // The files that are mapped now. Needs the GIL, as does letting go of them.
    std::shared_ptr<const StoredFiles> files() const {
        if (!known_ || known_count_ != files_.size()) {
            known_ = std::make_shared<const StoredFiles>(files_, segment_rows_, originals_.size);
            known_count_ = files_.size();
        }
        return known_;
    }

    // Asks for the originals of all candidates `rows` at once, -1 where there are fewer: to find their pages goes on for
    // many side by side.
    void fetch_all(const StoredFiles& files, const int64_t* rows) const {
        StoredRow row{};
        for (int64_t i = 0; i < candidates_ && rows[i] >= 0; ++i)
            if (files.find(rows[i], row)) fetch(row, originals_.size);
    }

    // The k nearest of them; see `nearest_stored`. False, too: one is in no file. `query` float32 (D,), or float64 `wide`
    // where that is something else.
    bool best(const StoredFiles& files, const float* query, const double* wide, const int64_t* rows, int64_t k,
              float* distances, int64_t* best_rows) const {
        std::vector<StoredRow> candidates;
        candidates.reserve(static_cast<size_t>(candidates_));
        StoredRow row{};
        for (int64_t i = 0; i < candidates_ && rows[i] >= 0; ++i) {
            if (!files.find(rows[i], row)) return false;
            candidates.push_back(row);
        }
        std::vector<double> widened;
        if (!wide) {
            widened.assign(query, query + originals_.D);
            wide = widened.data();
        }
        return nearest_stored(originals_, candidates, wide, static_cast<size_t>(k), distances, best_rows);
    }

  private:
    StoredOriginals originals_{};
    nb::dict files_;
    int64_t segment_rows_, candidates_;
    mutable std::shared_ptr<const StoredFiles> known_;
    mutable size_t known_count_ = 0;
};

}  // namespace pqstore
