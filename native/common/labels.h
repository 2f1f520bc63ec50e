// Labels for the fast scan: what they are for, and what they are to the bit, says
// pqstore/kernels/reference/labelling.py.
#pragma once

#include <cstdint>

#include "contract.h"

namespace pqstore {

// labels (M, Ks), Ks <= 256. The same for every instruction set.
void scan_labels(const Codewords& codewords, uint8_t* labels);

}  // namespace pqstore
