# The version is that of the header beside it. Before 1.0 a minor version may change everything.
file(STRINGS "${CMAKE_CURRENT_LIST_DIR}/../../../include/quorate.h" _quorate_line
  REGEX "^#define QUORATE_VERSION \"")
string(REGEX REPLACE ".*\"(.*)\".*" "\\1" PACKAGE_VERSION "${_quorate_line}")
string(REGEX MATCH "^[0-9]+\\.[0-9]+" _quorate_has "${PACKAGE_VERSION}")
string(REGEX MATCH "^[0-9]+\\.[0-9]+" _quorate_wants "${PACKAGE_FIND_VERSION}.0")
set(PACKAGE_VERSION_COMPATIBLE FALSE)
set(PACKAGE_VERSION_EXACT FALSE)
if(_quorate_has VERSION_EQUAL _quorate_wants AND NOT PACKAGE_VERSION VERSION_LESS PACKAGE_FIND_VERSION)
  set(PACKAGE_VERSION_COMPATIBLE TRUE)
endif()
if(PACKAGE_VERSION VERSION_EQUAL PACKAGE_FIND_VERSION)
  set(PACKAGE_VERSION_EXACT TRUE)
endif()
