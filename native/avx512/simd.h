// AVX-512 as the common scans call it.
#pragma once

#include "avx512/bytes.h"
#include "avx512/nibble_bound.h"

#include "common/nibble_instructions.h"
