'use strict';
// The platform as the addon's file and package are named for it.

exports.platformName = function platformName() {
  const { platform, arch } = process;
  if (platform !== 'linux') return `${platform}-${arch}`;
  const { header } = process.report.getReport();
  return `linux-${arch}-${header.glibcVersionRuntime ? 'gnu' : 'musl'}`;
};
