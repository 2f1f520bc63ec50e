// Rows in mapped files, one a segment, where each is followed by its checksum.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <unordered_map>
#include <vector>

#include "bindings/checked.h"
#include "storage/rows.h"

namespace nb = nanobind;

namespace pqstore {

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
    using Array = In<uint8_t, 2>;

    struct File {
        const uint8_t* bytes;
        int64_t rows;
    };

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
            Array array;
            require(nb::try_cast(nb::handle(file), array) && array.shape(1) == stride_, "a file of rows of another size");
            file_ = {array.data(), static_cast<int64_t>(array.shape(0))};
            found_.emplace(segment, file_);
            held_.push_back(std::move(array));
        }
        segment_ = segment;
        return true;
    }

    nb::dict files_;
    int64_t segment_rows_;
    size_t stride_;
    int64_t segment_ = -1;
    File file_{};
    std::unordered_map<int64_t, File> found_;
    std::vector<Array> held_;
};

}  // namespace pqstore
