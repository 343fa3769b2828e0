// Package images makes the container images that the practice site's releases install:
// the application's web server, database and messaging service with the real programs
// (nginx, PHP, MariaDB, Node.js), and the stand-in of the media engine. They are put
// together here, without an image builder: a layer of the Debian packages that all three
// application images need and one of those that each alone needs, made once and cached by
// their recipe, and small layers on top.
// The same sources give the same digests. What a release says about the images, and how
// they get to a registry's visitors, is not its business.
package images
