package site

// mediaRole is a media server: the streaming engine with its recordings, licence and cameras.
func mediaRole() RoleSpec {
	return RoleSpec{
		Role: Media, Short: "media", About: "records and streams",
		Single: true, Engine: true,
		Keys: []string{"recordings", "wowza", "cameras"},
		Lacking: &Lacking{Warning: true, So: ", so nothing can be recorded",
			Fix: "give a host roles: [media], or [app, media] to a single server"},
		defaults: func(h *Host) {
			if h.Wowza.License == "" {
				h.Wowza.License = Electronic
			}
		},
		needs: func(n *needs, i int, h Host) {
			n.key(hostField(i, "recordings"), h.Recordings, "write recordings: and the folder where the recordings' file system is mounted")
			if h.HasLicenceKey() {
				n.file(hostField(i, "wowza.key_file"), h.Wowza.KeyFile, "write wowza: with key_file: and the file that holds the licence key, or license: physical for a dongle")
			}
		},
	}
}
