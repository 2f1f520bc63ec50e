// Which compiled kernels run on this machine.
#pragma once

#include <string_view>
#include <vector>

#include "contract.h"

namespace pqstore {

// Best first; never empty, because the portable kernels run everywhere.
std::vector<const KernelSet*> runnable_kernels();

// Null if no kernels of that name run here.
const KernelSet* find_kernels(std::string_view name);

}  // namespace pqstore
