// Rows in mapped files, one a segment, where each is followed by its checksum.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <unordered_map>
#include <utility>
#include <vector>

#include "bindings/checked.h"
#include "storage/rows.h"

namespace nb = nanobind;

namespace pqstore {

// The rows of one segment. `held` keeps them mapped.
struct StoredFile {
    using Array = In<uint8_t, 2>;

    const uint8_t* bytes;
    int64_t rows;

    // Needs the GIL.
    static StoredFile of(nb::handle file, size_t stride, std::vector<Array>& held) {
        Array array;
        require(nb::try_cast(file, array) && array.shape(1) == stride, "a file of rows of another size");
        const StoredFile found{array.data(), static_cast<int64_t>(array.shape(0))};
        held.push_back(std::move(array));
        return found;
    }
};

// Finds rows in `files` by segment: uint8 (rows, size + 4). Holds the files it found, also while the GIL is released.
class StoredRows {
  public:
    StoredRows(const nb::dict& files, int64_t segment_rows, size_t size)
        : files_(files), segment_rows_(segment_rows), stride_(size + 4) {
        require(segment_rows > 0, "segments have rows");
    }

    // False: the row is in no file. Needs the GIL.
    bool find(int64_t row, StoredRow& found) {
        if (row < 0) return false;
        const int64_t segment = row / segment_rows_, position = row % segment_rows_;
        if (segment != segment_ && !turn_to(segment)) return false;
        if (position >= file_.rows) return false;
        found = {file_.bytes + static_cast<size_t>(position) * stride_, row};
        return true;
    }

  private:
    bool turn_to(int64_t segment) {
        const auto known = found_.find(segment);
        if (known != found_.end()) {
            file_ = known->second;
        } else {
            PyObject* file = PyDict_GetItemWithError(files_.ptr(), nb::int_(segment).ptr());
            if (file == nullptr) {
                if (PyErr_Occurred()) throw nb::python_error();
                return false;
            }
            file_ = StoredFile::of(file, stride_, held_);
            found_.emplace(segment, file_);
        }
        segment_ = segment;
        return true;
    }

    nb::dict files_;
    int64_t segment_rows_;
    size_t stride_;
    int64_t segment_ = -1;
    StoredFile file_{};
    std::unordered_map<int64_t, StoredFile> found_;
    std::vector<StoredFile::Array> held_;
};

// The files as they are now, looked up without the GIL. Made and let go of with it.
class StoredFiles {
  public:
    StoredFiles(const nb::dict& files, int64_t segment_rows, size_t size) : segment_rows_(segment_rows), stride_(size + 4) {
        constexpr int64_t kMostSegments = int64_t{1} << 20;
        for (const auto& [number, file] : files) {
            const auto segment = nb::cast<int64_t>(number);
            if (segment < 0 || segment >= kMostSegments) continue;  // none of its rows is found
            const auto place = static_cast<size_t>(segment);
            if (place >= files_.size()) files_.resize(place + 1);
            files_[place] = StoredFile::of(file, stride_, held_);
        }
    }

    // False: the row is in no file.
    bool find(int64_t row, StoredRow& found) const {
        if (row < 0) return false;
        const auto segment = static_cast<size_t>(row / segment_rows_);
        const int64_t position = row % segment_rows_;
        if (segment >= files_.size() || position >= files_[segment].rows) return false;
        found = {files_[segment].bytes + static_cast<size_t>(position) * stride_, row};
        return true;
    }

  private:
    int64_t segment_rows_;
    size_t stride_;
    std::vector<StoredFile> files_;  // by segment
    std::vector<StoredFile::Array> held_;
};

}  // namespace pqstore
