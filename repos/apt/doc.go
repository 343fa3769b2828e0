// Package apt reads and writes what apt and dpkg keep in files: deb822 sources, package
// indexes with their signatures, and dpkg's status. It runs no program and installs
// nothing; that is what the steps of installer/step do.
package apt
