// SPDX-License-Identifier: Apache-2.0
// Between StepPlan and its wire form. What only rank 0 needs (sampling) stays behind. Pure
// functions, any thread.
#pragma once

#include "sluice/worker/v1/group.pb.h"
#include "worker/base/step_plan.h"

namespace sluice::worker {

v1::StepPlan ToMessage(const StepPlan& plan);
StepPlan FromMessage(const v1::StepPlan& message);

}  // namespace sluice::worker
