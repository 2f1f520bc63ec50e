// The parts of the Python module, each of which adds its functions and classes.
#pragma once

#include <nanobind/nanobind.h>

namespace pqstore {

void bind_exact_scan(nanobind::module_& module);
void bind_kernels(nanobind::module_& module);
void bind_plain_search(nanobind::module_& module);
void bind_rescoring(nanobind::module_& module);
void bind_searcher(nanobind::module_& module);
void bind_storage(nanobind::module_& module);

}  // namespace pqstore
