// AVX2 as the common scans call it.
#pragma once

#include "bytes.h"
#include "nibble_bound.h"
#include "prefix_bound.h"

#include "../common/instruction_set.h"
