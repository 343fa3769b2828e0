// Package release reads the vendor's signed release repository: The Update
// Framework's metadata, channels, and the manifest of one release with its Compose
// files. It starts from a root chain of its own that only ever grows, so a rolled
// back repository or a revoked key is refused. It does not write a repository;
// that is repos/publish.
//
// go-tuf verifies; this package decides what go-tuf may start from and what of its
// work is kept. Left alone, go-tuf v2.4.2 overwrites a cached root with the older one
// it was built with, and cannot refresh over an empty cached file. So it is handed
// the newest root of the chain kept here and a scratch copy of the cache, and only
// what it verified is written back, fsynced.
//
// The folder of one reader (State on a host: /var/lib/valtctl/tuf) holds
//
//	root/N.root.json     every root version ever trusted, oldest first
//	metadata/            the last good refresh, named as in a repository with
//	                     consistent snapshots; timestamp.json is written last
//	targets/<sha256>     target files that were read
//	state.json           versions and expiries of the last good refresh
package release
