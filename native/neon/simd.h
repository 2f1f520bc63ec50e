// NEON as the common scans call it.
#pragma once

#include "neon/bytes.h"
#include "neon/nibble_bound.h"
#include "neon/prefix_bound.h"

#include "common/instruction_set.h"
