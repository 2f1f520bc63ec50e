// The part of the Python module that rescores.
#pragma once

#include <nanobind/nanobind.h>

namespace pqstore {

void bind_rescoring(nanobind::module_& module);

}  // namespace pqstore
