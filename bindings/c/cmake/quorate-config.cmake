# find_package(quorate) gives the targets quorate::quorate (shared) and quorate::quorate-static.
# Finds its own prefix, so that it can be moved.
get_filename_component(_quorate_prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)

if(NOT TARGET quorate::quorate)
  find_library(_quorate_shared NAMES libquorate.so libquorate.dylib
    PATHS "${_quorate_prefix}" PATH_SUFFIXES lib lib64 "lib/${CMAKE_LIBRARY_ARCHITECTURE}"
    NO_DEFAULT_PATH NO_CACHE)
  find_library(_quorate_static NAMES libquorate.a
    PATHS "${_quorate_prefix}" PATH_SUFFIXES lib lib64 "lib/${CMAKE_LIBRARY_ARCHITECTURE}"
    NO_DEFAULT_PATH NO_CACHE)
  if(NOT _quorate_shared)
    set(quorate_FOUND FALSE)
    set(quorate_NOT_FOUND_MESSAGE "libquorate is not below ${_quorate_prefix}")
    return()
  endif()

  add_library(quorate::quorate SHARED IMPORTED)
  set_target_properties(quorate::quorate PROPERTIES
    IMPORTED_LOCATION "${_quorate_shared}"
    INTERFACE_INCLUDE_DIRECTORIES "${_quorate_prefix}/include")

  if(_quorate_static)
    find_package(Threads REQUIRED)
    add_library(quorate::quorate-static STATIC IMPORTED)
    set_target_properties(quorate::quorate-static PROPERTIES
      IMPORTED_LOCATION "${_quorate_static}"
      INTERFACE_INCLUDE_DIRECTORIES "${_quorate_prefix}/include"
      INTERFACE_LINK_LIBRARIES "Threads::Threads;m;${CMAKE_DL_LIBS}")
  endif()
endif()
