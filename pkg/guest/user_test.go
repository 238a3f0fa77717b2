package guest

import (
	"reflect"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

const (
	testPasswd = "root:x:0:0:root:/root:/bin/sh\n# comment\nbroken:x:7\nnogid:x:8:x::/:\n" +
		"huge:x:4294967295:1::/:\napp:x:1000:1001:a,b:/home/app:\r\n1000:x:50:51::/:\n" +
		"other:x:1000:1002:::\nlast:x:5:6::/last:/bin/sh"
	testGroup = "root:x:0:\nwheel:x:10:root,app\n# app\nbroken:x\nbad:x:y:app\n" +
		"audio:x:63:other,app\napp:x:1001:\nlast:x:6:app,"
)

func TestLookupUser(t *testing.T) {
	for _, c := range []struct {
		user string
		want specs.User
	}{
		{"root", specs.User{AdditionalGids: []uint32{10}}},
		{"", specs.User{AdditionalGids: []uint32{10}}},
		{":audio", specs.User{GID: 63}},
		{"0", specs.User{AdditionalGids: []uint32{10}}},
		{"app", specs.User{UID: 1000, GID: 1001, AdditionalGids: []uint32{10, 63, 6}}},
		{"app:", specs.User{UID: 1000, GID: 1001, AdditionalGids: []uint32{10, 63, 6}}},
		// A number is not a name; the first entry with the number counts.
		{"1000", specs.User{UID: 1000, GID: 1001, AdditionalGids: []uint32{10, 63, 6}}},
		{"other", specs.User{UID: 1000, GID: 1002, AdditionalGids: []uint32{63}}},
		{"app:wheel", specs.User{UID: 1000, GID: 10}},
		{"app:77", specs.User{UID: 1000, GID: 77}},
		{"12:34", specs.User{UID: 12, GID: 34}},
		{"12:wheel", specs.User{UID: 12, GID: 10}},
		{"12", specs.User{UID: 12}},
		{"8", specs.User{UID: 8}}, // its entry is malformed
		{"last", specs.User{UID: 5, GID: 6}},
		{"4294967294", specs.User{UID: 4294967294}},
	} {
		got, err := LookupUser([]byte(testPasswd), []byte(testGroup), c.user)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("LookupUser(%q) = %+v, %v, want %+v", c.user, got, err, c.want)
		}
	}
	for user, want := range map[string]specs.User{
		"root": {}, "": {}, "3:4": {UID: 3, GID: 4}, "root:0": {},
	} {
		if got, err := LookupUser(nil, nil, user); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("LookupUser(%q) without files = %+v, %v, want %+v", user, got, err, want)
		}
	}
}

func TestLookupUserErrors(t *testing.T) {
	for user, want := range map[string]string{
		"nobody":       `user "nobody": not in the image's /etc/passwd`,
		"nogid":        `user "nogid": not in the image's /etc/passwd`,
		"huge":         `user "huge": not in the image's /etc/passwd`,
		"broken":       `user "broken": not in the image's /etc/passwd`,
		"# comment":    `user "# comment": not in the image's /etc/passwd`,
		"-1":           `user "-1": not in the image's /etc/passwd`,
		"4294967295":   `user "4294967295": not an ID from 0 to 4294967294`,
		"99999999999":  `user "99999999999": not an ID from 0 to 4294967294`,
		"99999999999x": `user "99999999999x": not in the image's /etc/passwd`,
		"app:nogroup":  `group "nogroup": not in the image's /etc/group`,
		"app:bad":      `group "bad": not in the image's /etc/group`,
		"1:4294967295": `group "4294967295": not an ID from 0 to 4294967294`,
		"1:2:3":        `group "2:3": not in the image's /etc/group`,
	} {
		got, err := LookupUser([]byte(testPasswd), []byte(testGroup), user)
		if err == nil || err.Error() != want {
			t.Errorf("LookupUser(%q) = %+v, %v, want error %s", user, got, err, want)
		}
	}
}

// Whatever the files contain, only a user that is given as 0 or root, or is in passwd, is root.
func FuzzLookupUser(f *testing.F) {
	f.Add(testPasswd, testGroup, "app:wheel")
	f.Add("\n::0:0:\nx:x:1:1\n", ":::", "x")
	f.Fuzz(func(t *testing.T, passwd, group, user string) {
		u, err := LookupUser([]byte(passwd), []byte(group), user)
		if err != nil {
			return
		}
		name, _, _ := strings.Cut(user, ":")
		if id, err := parseID(name); err == nil && u.UID != id {
			t.Errorf("LookupUser(%q, %q, %q) = %+v, want uid %d", passwd, group, user, u, id)
		}
		isRoot := strings.Trim(name, "0") == "" || name == "root"
		if u.UID == 0 && !isRoot && !strings.Contains(passwd, name+":") {
			t.Errorf("LookupUser(%q, %q, %q) = %+v, want no root", passwd, group, user, u)
		}
	})
}

func TestHomeOf(t *testing.T) {
	const passwd = "root:x:0:0:root:/root:/bin/sh\n# comment\nbroken:x:7\nbad:x:y:0::/bad:\n" +
		"u:x:1000:1000:a,b:/home/u:\nv:x:1001:1001:::\nlast:x:5:5::/last:/bin/sh"
	for uid, want := range map[uint32]string{0: "/root", 1000: "/home/u", 1001: "", 7: "", 99: "",
		5: "/last"} {
		if got := HomeOf([]byte(passwd), uid); got != want {
			t.Errorf("HomeOf(%d) = %q, want %q", uid, got, want)
		}
	}
}

func FuzzHomeOf(f *testing.F) {
	f.Add([]byte("root:x:0:0:root:/root:/bin/sh\n"), uint32(0))
	f.Fuzz(func(t *testing.T, passwd []byte, uid uint32) { HomeOf(passwd, uid) })
}
