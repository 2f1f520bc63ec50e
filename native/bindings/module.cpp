// The Python module pqstore._native, which its parts fill.
#include "bindings/parts.h"

NB_MODULE(_native, module) {
    // At its exit Python does not always clear modules that hold ours, and a user has nothing to do about it.
    nanobind::set_leak_warnings(false);
    module.doc() = "Compiled kernels and loops of pqstore; use them through pqstore.kernels and pqstore.storage.";
    pqstore::bind_exact_scan(module);
    pqstore::bind_kernels(module);
    pqstore::bind_rescoring(module);
    pqstore::bind_searcher(module);
    pqstore::bind_storage(module);
    pqstore::bind_plain_search(module);
}
