// AVX2 as the common scans call it.
#pragma once

#include "avx2/bytes.h"
#include "avx2/nibble_bound.h"
#include "avx2/prefix_bound.h"

#include "common/instruction_set.h"
