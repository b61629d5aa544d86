# Language level, warnings, sanitizers, ccache and output folders: everything that holds for each target.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)  # the CUDA plugin links the same objects

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()
# -ffp-contract=off: the compiler must not fuse a multiply and an add on its own, or two
# translation units could round one formula differently. Kernels that want FMA call std::fma.
# No -march=native and no -ffast-math anywhere: binaries run on any x86-64-v2 machine.
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")
set(host_options -ffp-contract=off)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  list(APPEND host_options -march=x86-64-v2)
endif()

option(SLUICE_WERROR "Treat warnings as errors" ON)
list(APPEND host_options -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual)
if(SLUICE_WERROR)
  list(APPEND host_options -Werror)
endif()
add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:${host_options}>")  # SluiceCuda.cmake has nvcc's

set(SLUICE_SANITIZE "" CACHE STRING "Sanitizers, comma separated: address,undefined or thread")
if(SLUICE_SANITIZE)
  add_compile_options(-fsanitize=${SLUICE_SANITIZE} -fno-omit-frame-pointer)
  if(SLUICE_SANITIZE MATCHES "thread")
    # ThreadSanitizer does not know fences; Asio's order nothing that its locks do not order as well.
    add_compile_definitions(BOOST_ASIO_DISABLE_FENCED_BLOCK)
  endif()
  if(SLUICE_SANITIZE MATCHES "address" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # GCC 12 then warns of the inside of std::regex.
    add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-Wno-maybe-uninitialized>)
  endif()
  if(SLUICE_SANITIZE MATCHES "undefined")
    add_compile_options(-fno-sanitize-recover=undefined)
  endif()
  add_link_options(-fsanitize=${SLUICE_SANITIZE})
endif()

find_program(SLUICE_CCACHE ccache)
if(SLUICE_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${SLUICE_CCACHE})
endif()

set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib)
set(CMAKE_ARCHIVE_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib)
