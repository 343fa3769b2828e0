// Package bundle reads and writes the file that carries a release, and everything that
// installing it takes, to a site without internet. The file is an OCI image layout in a
// tar, in one canonical form: every byte of it follows from its signed list of contents and
// from the blobs that the list names by digest. So a reader needs no tar parser for what a
// stranger sends, and a byte that was changed anywhere is found. What goes into a bundle is
// decided by the caller; this package fetches nothing.
package bundle
