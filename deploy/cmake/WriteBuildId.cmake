# Run at build time: writes OUTPUT, which defines CudaPluginBuildId(): SALT (version, compiler, build type) and a
# digest of the files in the list INPUTS_FILE. Worker and CUDA plugin share classes by their layout in memory, so a
# plugin with another id is refused.
file(STRINGS ${INPUTS_FILE} inputs)
set(digests "")
foreach(input ${inputs})
  file(SHA256 ${input} digest)
  string(APPEND digests ${digest})
endforeach()
string(SHA256 digest "${SALT} ${digests}")
string(SUBSTRING ${digest} 0 16 digest)
file(CONFIGURE OUTPUT ${OUTPUT} CONTENT [[
#include "worker/executor/cuda/plugin.h"
const char* sluice::worker::CudaPluginBuildId() { return "@SALT@ @digest@"; }
]] @ONLY)
