package site

// appRole is the application server: nginx with PHP, the database and Node.js messaging.
func appRole() RoleSpec {
	return RoleSpec{
		Role: App, Short: "application", About: "pages, users, database",
		One: true, InCloud: true, Single: true, Lease: true,
		OwnTurn: true, Conducts: true, Asked: true,
		Lacking: &Lacking{Fix: "give one host roles: [app], or write cloud: if the application server is the vendor's"},
	}
}
