// Package apt reads and writes what apt and dpkg keep in files: deb822 sources, package
// indexes with their signatures, and dpkg's status. It installs nothing; that is what the
// steps of installer/step do. One program it runs: apt-get, which in a folder of its own
// says which packages an installation would take (Solve).
package apt
