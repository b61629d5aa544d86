# One target per folder. Include paths start at the repository root, so every include names its folder.

# sluice_library(NAME SRCS a.cc ... DEPS target ... [PRIVATE_DEPS target ...])
# A static library, or an interface library when it has headers only.
function(sluice_library name)
  cmake_parse_arguments(ARG "" "" "SRCS;DEPS;PRIVATE_DEPS" ${ARGN})
  if(ARG_SRCS)
    add_library(${name} STATIC ${ARG_SRCS})
    target_include_directories(${name} PUBLIC ${PROJECT_SOURCE_DIR})
    target_link_libraries(${name} PUBLIC ${ARG_DEPS} PRIVATE ${ARG_PRIVATE_DEPS})
  else()
    add_library(${name} INTERFACE)
    target_include_directories(${name} INTERFACE ${PROJECT_SOURCE_DIR})
    target_link_libraries(${name} INTERFACE ${ARG_DEPS})
  endif()
endfunction()

# sluice_cuda_library(NAME SRCS a.cu b.cc ... DEPS target ... [PRIVATE_DEPS target ...]): a library on the CUDA runtime, built
# where nvcc is. tests/cuda_emulation builds what was named this way once more, as NAME_emulated, on its emulator.
function(sluice_cuda_library name)
  cmake_parse_arguments(ARG "" "" "SRCS;DEPS;PRIVATE_DEPS" ${ARGN})
  if(SLUICE_HAVE_CUDA)
    sluice_library(${name} SRCS ${ARG_SRCS} DEPS ${ARG_DEPS} CUDA::cudart_static PRIVATE_DEPS ${ARG_PRIVATE_DEPS})
  endif()
  list(TRANSFORM ARG_SRCS PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/)
  set_property(GLOBAL APPEND PROPERTY SLUICE_CUDA_LIBRARIES ${name})
  set_property(GLOBAL PROPERTY SLUICE_SOURCES_OF_${name} ${ARG_SRCS})
  set_property(GLOBAL PROPERTY SLUICE_DEPS_OF_${name} ${ARG_DEPS} ${ARG_PRIVATE_DEPS})
endfunction()

# sluice_binary(NAME SRCS main.cc ... DEPS target ...): an executable in build/bin.
function(sluice_binary name)
  cmake_parse_arguments(ARG "" "" "SRCS;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SRCS})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS})
endfunction()

# sluice_test(NAME SRCS foo_test.cc ... DEPS target ... [LABELS cpu ...] [TIMEOUT seconds])
# A GoogleTest binary in build/tests, registered with CTest as one test per binary. Tests find their data
# under SLUICE_SOURCE_DIR and the real tokenizer through tests/support/qwen3_dir.h.
function(sluice_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SRCS;DEPS;LABELS" ${ARGN})
  if(NOT ARG_LABELS)
    set(ARG_LABELS cpu)
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  if(SLUICE_SANITIZE)
    math(EXPR ARG_TIMEOUT "6 * ${ARG_TIMEOUT}")
  endif()
  add_executable(${name} ${ARG_SRCS})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_compile_definitions(${name} PRIVATE SLUICE_SOURCE_DIR="${PROJECT_SOURCE_DIR}"
                                             SLUICE_BINARY_DIR="${PROJECT_BINARY_DIR}")
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} GTest::gmock GTest::gtest_main)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT})
endfunction()

# sluice_cuda_test(NAME EMULATED other_name SRCS foo_test.cc ... DEPS target ... [TIMEOUT seconds]): tests of CUDA libraries, as
# NAME for a GPU (label gpu), and as other_name on the emulator (label cpu).
function(sluice_cuda_test name)
  cmake_parse_arguments(ARG "" "EMULATED;TIMEOUT" "SRCS;DEPS" ${ARGN})
  if(SLUICE_HAVE_CUDA)
    sluice_test(${name} SRCS ${ARG_SRCS} DEPS ${ARG_DEPS} LABELS gpu TIMEOUT ${ARG_TIMEOUT})
  endif()
  if(SLUICE_HAVE_CUDA_EMULATION)
    sluice_emulated_targets(deps ${ARG_DEPS})
    sluice_test(${ARG_EMULATED} SRCS ${ARG_SRCS} DEPS ${deps} LABELS cpu TIMEOUT ${ARG_TIMEOUT})
    sluice_on_emulator(${ARG_EMULATED})
  endif()
endfunction()

# sluice_script_test(NAME COMMAND cmd ... [LABELS ...] [TIMEOUT seconds]): a test that is a script.
function(sluice_script_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "COMMAND;LABELS" ${ARGN})
  if(NOT ARG_LABELS)
    set(ARG_LABELS cpu)
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  add_test(NAME ${name} COMMAND ${ARG_COMMAND} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT}
                                          ENVIRONMENT "SLUICE_BINARY_DIR=${PROJECT_BINARY_DIR}")
endfunction()

# sluice_pytest(NAME FILE [LABELS ...] [TIMEOUT seconds]): a file of pytest cases, counted one by one by tests/run.sh.
function(sluice_pytest name file)
  find_package(Python3 REQUIRED COMPONENTS Interpreter)
  sluice_script_test(${name}
                     COMMAND ${CMAKE_COMMAND} -E env SLUICE_TEST_NAME=${name} ${Python3_EXECUTABLE} -B -m pytest -q
                             -p no:cacheprovider --confcutdir=${PROJECT_SOURCE_DIR}/tests
                             ${CMAKE_CURRENT_SOURCE_DIR}/${file}
                     ${ARGN})
endfunction()

# sluice_bench(NAME SRCS ... DEPS ...): a benchmark program in build/bench; prints JSON, never asserts.
function(sluice_bench name)
  cmake_parse_arguments(ARG "" "" "SRCS;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SRCS})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_compile_definitions(${name} PRIVATE SLUICE_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  target_link_libraries(${name} PRIVATE ${ARG_DEPS})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bench)
endfunction()

# sluice_proto(NAME PROTOS sluice/v1/x.proto ... [DEPS target ...]): message and gRPC code for .proto files
# below proto/. Generated headers are included as "sluice/v1/x.grpc.pb.h".
function(sluice_proto name)
  cmake_parse_arguments(ARG "" "" "PROTOS;DEPS" ${ARGN})
  set(out ${PROJECT_BINARY_DIR}/generated)
  set(generated)
  foreach(proto ${ARG_PROTOS})
    string(REGEX REPLACE "\\.proto$" "" stem ${proto})
    set(files ${out}/${stem}.pb.cc ${out}/${stem}.grpc.pb.cc)
    add_custom_command(
      OUTPUT ${files} ${out}/${stem}.pb.h ${out}/${stem}.grpc.pb.h
      COMMAND ${CMAKE_COMMAND} -E make_directory ${out}
      COMMAND protobuf::protoc -I ${PROJECT_SOURCE_DIR}/proto --cpp_out=${out} --grpc_out=${out}
              --plugin=protoc-gen-grpc=$<TARGET_FILE:gRPC::grpc_cpp_plugin> ${proto}
      DEPENDS ${PROJECT_SOURCE_DIR}/proto/${proto}
      COMMENT "protoc ${proto}")
    list(APPEND generated ${files})
  endforeach()
  add_library(${name} STATIC ${generated})
  target_include_directories(${name} SYSTEM PUBLIC ${out})
  target_link_libraries(${name} PUBLIC ${ARG_DEPS} gRPC::grpc++ protobuf::libprotobuf)
  target_compile_options(${name} PRIVATE -w)
endfunction()
