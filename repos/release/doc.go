// Package release reads the vendor's signed release repository: The Update
// Framework's metadata, channels, and the manifest of one release with its Compose
// files. It starts from a root chain of its own that only ever grows, so a rolled
// back repository or a revoked key is refused. It does not write a repository;
// that is repos/publish.
package release
