// Package database makes backups of the database that a release's application keeps in one of its
// containers, proves them, restores them, and has a release change the database with a way back
// that was tried. Everything that speaks to a database is the client of the image that serves,
// run inside a container of it: a host needs none, and a dump is read by what wrote it.
//
// A backup is proved by restoring it into a throwaway container of the same image, without a
// network and with events switched off, and comparing what is there with what was dumped. Before a
// migration the folder that the proof filled is kept: it is the way back, put in the place of the
// data by a rename. It knows no other host and no plan (installer/plan, updater).
package database
