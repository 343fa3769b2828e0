package apt_test

import (
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"ipivs.com/valtctl/repos/apt"
)

func TestKeyEndsWithTheLastPartThatSigns(t *testing.T) {
	made := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	const year = 365 * 24 * time.Hour
	config := func(life time.Duration) *packet.Config {
		return &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA, Time: func() time.Time { return made }, KeyLifetimeSecs: uint32(life / time.Second)}
	}
	for name, c := range map[string]struct {
		primary time.Duration   // 0: never ends
		subkeys []time.Duration // that sign
		certify bool            // the primary key does not sign
		want    time.Duration   // 0: never
		revoked bool
	}{
		"never":                             {},
		"the primary key":                   {primary: year, want: year},
		"a subkey beside a signing primary": {primary: 3 * year, subkeys: []time.Duration{year}, want: 3 * year},
		"the last subkey":                   {primary: 5 * year, certify: true, subkeys: []time.Duration{year, 2 * year}, want: 2 * year},
		"subkeys outlive their primary":     {primary: year, certify: true, subkeys: []time.Duration{2 * year}, want: year},
		"an endless subkey":                 {primary: year, certify: true, subkeys: []time.Duration{0}, want: year},
		"endless with an ending subkey":     {certify: true, subkeys: []time.Duration{year}, want: year},
		"revoked":                           {revoked: true},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := openpgp.NewEntity("Practice", "", "", config(c.primary))
			if err != nil {
				t.Fatal(err)
			}
			for _, life := range c.subkeys {
				if err := e.AddSigningSubkey(config(life)); err != nil {
					t.Fatal(err)
				}
			}
			if c.certify {
				for _, id := range e.Identities {
					id.SelfSignature.FlagSign = false
					if err := id.SelfSignature.SignUserId(id.UserId.Id, e.PrimaryKey, e.PrivateKey, config(c.primary)); err != nil {
						t.Fatal(err)
					}
				}
			}
			if c.revoked {
				if err := e.RevokeKey(packet.KeyCompromised, "lost", config(0)); err != nil {
					t.Fatal(err)
				}
			}
			ring, err := apt.ReadKeyring(public(t, e, true))
			if err != nil {
				t.Fatal(err)
			}
			keys := ring.Keys(made.Add(time.Hour))
			want := time.Time{}
			if c.want != 0 {
				want = made.Add(c.want)
			}
			if len(keys) != 1 || !keys[0].Expires.Equal(want) || keys[0].Revoked != c.revoked || keys[0].Owner != "Practice" {
				t.Errorf("%+v, want the end %s", keys, want)
			}
		})
	}
}
