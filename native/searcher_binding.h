// The part of the Python module that searches: queries in, nearest rows out.
#pragma once

#include <nanobind/nanobind.h>

namespace pqstore {

void bind_searcher(nanobind::module_& module);

}  // namespace pqstore
