// SPDX-License-Identifier: Apache-2.0
// Copies a part of a stored tensor, or of a dummy one, into a staging buffer. Stateless; any
// thread.
#pragma once

#include <cstddef>

#include "worker/executor/cuda/load_plan.h"
#include "worker/weights/checkpoint.h"

namespace sluice::worker {

// out: part.staged_bytes() bytes; what lies between rows is left as it is. Floats are rounded to
// part.staged, to the nearest even, where they are stored as another type. checkpoint: null for
// dummy weights.
void ReadPart(const Checkpoint* checkpoint, const TensorPart& part, std::byte* out);

// Has the kernel fetch what ReadPart will touch, without waiting for it.
void PrefetchPart(const Checkpoint* checkpoint, const TensorPart& part);
// Lets what ReadPart has touched leave this process's memory; the page cache keeps it.
void ReleasePart(const Checkpoint* checkpoint, const TensorPart& part);

}  // namespace sluice::worker
