// Ids of consecutive rows, by the number of the segment or chunk that they belong to.
#pragma once

#include <nanobind/nanobind.h>

#include <cstdint>
#include <cstring>
#include <unordered_map>

#include "bindings/checked.h"

namespace pqstore {

// What Python reads from the index once, for the rows of many searches. Used with the GIL held.
class IdParts {
  public:
    // `ids`: int64 (n,), which is kept; or a number, the first of consecutive ids.
    void set(int64_t number, nb::object ids) {
        Part part;
        if (PyLong_Check(ids.ptr())) {
            part.first = nb::cast<int64_t>(ids);
        } else {
            part.array = nb::cast<In<int64_t, 1>>(ids, false);
            part.ids = part.array.data();
            part.count = extent(part.array, 0);
        }
        parts_.insert_or_assign(number, std::move(part));
    }

    void remove(int64_t number) {
        if (parts_.erase(number) == 0) throw nb::key_error("no part of this number");
    }

    nb::list numbers() const {
        nb::list all;
        for (const auto& part : parts_) all.append(part.first);
        return all;
    }

    // The id at a position of a part. False: there is no such part, or it ends before.
    bool take(int64_t number, int64_t position, int64_t& id) const {
        const auto found = parts_.find(number);
        if (found == parts_.end()) return false;
        const Part& part = found->second;
        if (part.count < 0) {
            id = part.first + position;
            return true;
        }
        if (position >= part.count) return false;
        std::memcpy(&id, part.ids + position, sizeof id);  // a record need not begin at a multiple of eight
        return true;
    }

  private:
    struct Part {
        In<int64_t, 1> array;
        const int64_t* ids = nullptr;
        int64_t count = -1;  // below 0: consecutive ids from `first`
        int64_t first = 0;
    };

    std::unordered_map<int64_t, Part> parts_;
};

// The ids of rows, -1 for row -1; `ids` may be `rows`. Sealed segments are parts of `segment_rows` rows, the open one
// has parts of `chunk_rows`. False: a part is missing.
inline bool take_ids_of(const IdParts& sealed, int64_t segment_rows, const IdParts& open, int64_t chunk_rows,
                        int64_t open_segment, const int64_t* rows, size_t count, int64_t* ids) {
    for (size_t i = 0; i < count; ++i) {
        const int64_t row = rows[i];
        if (row < 0) {
            ids[i] = -1;
            continue;
        }
        const bool is_open = row / segment_rows == open_segment;
        const int64_t part_rows = is_open ? chunk_rows : segment_rows;
        if (!(is_open ? open : sealed).take(row / part_rows, row % part_rows, ids[i])) return false;
    }
    return true;
}

}  // namespace pqstore
