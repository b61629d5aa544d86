// SPDX-License-Identifier: Apache-2.0
// Reads the fields that chat and completion requests share; private to this folder.
#pragma once

#include "gateway/openai/field_reader.h"
#include "gateway/openai/generation_options.h"

namespace sluice::gateway {

// Everything but logprobs, whose shape differs between the two, and echo, which is a completion's
// and must be there before. Errors stay in the reader; ranges are checked too.
void ReadGenerationOptions(FieldReader& fields, GenerationOptions& options);

// stream and stream_options; refuses what of `generation` cannot be streamed.
void ReadStreamOptions(FieldReader& fields, const GenerationOptions& generation,
                       StreamOptions& options);

// Fields of both APIs that this server must refuse, or may ignore.
void RefuseUnsupportedFields(FieldReader& fields);

}  // namespace sluice::gateway
