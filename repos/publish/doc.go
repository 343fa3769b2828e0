// Package publish writes a release repository: The Update Framework's metadata with
// consistent snapshots, the vendor's keys, releases and channels. It is the other side
// of repos/release and is imported by cmd/valtrelease and cmd/valtlab alone, so that no
// signing code is on a host.
//
// Every change ends with one rename, that of timestamp.json: until then a reader finds
// the repository as it was. What the timestamp will name is written and fsynced before.
package publish
