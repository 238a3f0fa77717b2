package exec

import (
	"reflect"
	"strings"
	"testing"
)

const (
	testPasswd = "root:x:0:0:root:/root:/bin/sh\n# comment\nbroken:x:7\nnogid:x:8:x::/:\nhuge:x:4294967295:1::/:\n" +
		"app:x:1000:1001:a,b:/home/app:\r\n1000:x:50:51::/:\nother:x:1000:1002:::\nlast:x:5:6::/last:/bin/sh"
	testGroup = "root:x:0:\nwheel:x:10:root,app\n# app\nbroken:x\nbad:x:y:app\naudio:x:63:other,app\napp:x:1001:\nlast:x:6:app,"
)

func TestLookupUser(t *testing.T) {
	for _, c := range []struct {
		user string
		want User
	}{
		{"root", User{AdditionalGIDs: []uint32{10}}},
		{"", User{AdditionalGIDs: []uint32{10}}},
		{":audio", User{GID: 63}},
		{"0", User{AdditionalGIDs: []uint32{10}}},
		{"app", User{UID: 1000, GID: 1001, AdditionalGIDs: []uint32{10, 63, 6}}},
		{"app:", User{UID: 1000, GID: 1001, AdditionalGIDs: []uint32{10, 63, 6}}},
		{"1000", User{UID: 1000, GID: 1001, AdditionalGIDs: []uint32{10, 63, 6}}}, // the first of that number; a number is no name
		{"other", User{UID: 1000, GID: 1002, AdditionalGIDs: []uint32{63}}},
		{"app:wheel", User{UID: 1000, GID: 10}},
		{"app:77", User{UID: 1000, GID: 77}},
		{"12:34", User{UID: 12, GID: 34}},
		{"12:wheel", User{UID: 12, GID: 10}},
		{"12", User{UID: 12}},
		{"8", User{UID: 8}}, // its entry is broken
		{"last", User{UID: 5, GID: 6}},
		{"4294967294", User{UID: 4294967294}},
	} {
		got, err := LookupUser([]byte(testPasswd), []byte(testGroup), c.user)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("LookupUser(%q) = %+v, %v, want %+v", c.user, got, err, c.want)
		}
	}
	for user, want := range map[string]User{"root": {}, "": {}, "3:4": {UID: 3, GID: 4}, "root:0": {}} {
		if got, err := LookupUser(nil, nil, user); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("LookupUser(%q), without files = %+v, %v, want %+v", user, got, err, want)
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
		"app:nogroup":  `group "nogroup": not in the image's /etc/group`,
		"app:bad":      `group "bad": not in the image's /etc/group`,
		"1:4294967295": `group "4294967295": not an ID from 0 to 4294967294`,
		"1:2:3":        `group "2:3": not in the image's /etc/group`,
	} {
		if got, err := LookupUser([]byte(testPasswd), []byte(testGroup), user); err == nil || err.Error() != want {
			t.Errorf("LookupUser(%q) = %+v, %v, want error %s", user, got, err, want)
		}
	}
}

// Whatever the files are, nobody becomes root who is not asked for as such.
func FuzzLookupUser(f *testing.F) {
	f.Add(testPasswd, testGroup, "app:wheel")
	f.Add("\n::0:0:\nx:x:1:1\n", ":::", "x")
	f.Fuzz(func(t *testing.T, passwd, group, user string) {
		u, err := LookupUser([]byte(passwd), []byte(group), user)
		name, _, _ := strings.Cut(user, ":")
		if id, ok, _ := parseID(name); err == nil && ok && u.UID != id {
			t.Errorf("LookupUser(%q, %q, %q) = %+v, want uid %d", passwd, group, user, u, id)
		}
		if err == nil && u.UID == 0 && name != "" && !strings.Contains(passwd, name+":") && strings.Trim(name, "0") != "" && name != "root" {
			t.Errorf("LookupUser(%q, %q, %q) = %+v, want no root", passwd, group, user, u)
		}
	})
}
