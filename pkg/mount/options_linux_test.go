package mount

import (
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestParseOptions(t *testing.T) {
	for _, c := range []struct {
		options string
		flags   uintptr
		data    string
	}{
		{"", 0, ""},
		{"defaults", 0, ""},
		{"ro,nosuid,size=64m,mode=1777", unix.MS_RDONLY | unix.MS_NOSUID, "size=64m,mode=1777"},
		{"noexec,nodev,exec", unix.MS_NODEV, ""},
		{"ro,rw", 0, ""},
		{"rbind,rslave", unix.MS_BIND | unix.MS_REC, ""},
		{"strictatime,lazytime", unix.MS_STRICTATIME | unix.MS_LAZYTIME, ""},
		{"noauto,_netdev,nofail,x-systemd.automount,X-a=b,comment=c,user,subvol=/x,users=5", 0,
			"subvol=/x,users=5"},
		{"iversion,mand", unix.MS_I_VERSION | unix.MS_MANDLOCK, ""},
		{"nosymfollow,silent", unix.MS_NOSYMFOLLOW | unix.MS_SILENT, ""},
		{"rro,tmpcopyup,idmap", 0, ""},
	} {
		flags, data := ParseOptions(c.options)
		if flags != c.flags || data != c.data {
			t.Errorf("ParseOptions(%q) = %#x, %q, want %#x, %q",
				c.options, flags, data, c.flags, c.data)
		}
	}
}

func TestParse(t *testing.T) {
	const nodev, nosuid = unix.MS_NODEV, unix.MS_NOSUID
	for text, want := range map[string]options{
		"ro,rw,nosuid":     {flags: nosuid, cleared: unix.MS_RDONLY},
		"rw,ro":            {flags: unix.MS_RDONLY},
		"rro,rdev,rsuid":   {after: Attrs{RecSet: unix.MS_RDONLY, RecClear: nodev | nosuid}},
		"rro,rrw":          {after: Attrs{RecClear: unix.MS_RDONLY}},
		"rrelatime,ratime": {after: Attrs{RecSet: unix.MS_RELATIME, RecClear: unix.MS_NOATIME}},
		"rasync,rshare":    {data: "rasync,rshare"},
		"rshared,slave":    {after: Attrs{Propagation: unix.MS_SLAVE}},
		"runbindable":      {after: Attrs{Propagation: unix.MS_UNBINDABLE | unix.MS_REC}},
		"remount,bind":     {flags: unix.MS_REMOUNT | unix.MS_BIND},
		"tmpcopyup,size=1": {copyUp: CopyAll, data: "size=1"},
		"idmap,ridmap,ro":  {flags: unix.MS_RDONLY, unsupported: []string{"idmap", "ridmap"}},
	} {
		if got := parse(strings.Split(text, ",")); !reflect.DeepEqual(got, want) {
			t.Errorf("parse(%q) = %+v, want %+v", text, got, want)
		}
	}
}

// TestOptionNames checks that every option of the OCI runtime specification is known, and that it
// is printed by its own name.
func TestOptionNames(t *testing.T) {
	const all = `async atime bind defaults dev diratime dirsync exec iversion lazytime loud noatime
		nodev nodiratime noexec noiversion nolazytime norelatime nostrictatime nosuid nosymfollow
		private ratime rbind rdev rdiratime relatime remount rexec rnoatime rnodev rnodiratime
		rnoexec rnorelatime rnostrictatime rnosuid rnosymfollow ro rprivate rrelatime rro rrw
		rshared rslave rstrictatime rsuid rsymfollow runbindable rw shared silent slave strictatime
		suid symfollow sync tmpcopyup unbindable idmap ridmap`
	for name := range strings.FieldsSeq(all) {
		o := parse([]string{name})
		if o.data != "" {
			t.Errorf("parse(%q) has data %q, want none", name, o.data)
		}
		if name == "defaults" || o.copyUp != CopyNothing || o.unsupported != nil {
			continue
		}
		o.after.Set, o.after.Clear = o.flags&attributes, o.cleared&attributes
		got := flagNames(o.flags&^attributes, o.cleared&^attributes)
		got = append(got, o.after.names()...)
		if len(got) != 1 || got[0] != name {
			t.Errorf("option %q is printed as %q", name, got)
		}
	}
}

func TestAttrBits(t *testing.T) {
	for _, c := range []struct {
		flags uintptr
		want  uint64
	}{
		{0, 0},
		{unix.MS_RDONLY, unix.MOUNT_ATTR_RDONLY},
		{unix.MS_NOSUID | unix.MS_NODEV, unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV},
		{unix.MS_NOEXEC, unix.MOUNT_ATTR_NOEXEC},
		{unix.MS_NOSYMFOLLOW, unix.MOUNT_ATTR_NOSYMFOLLOW},
		{unix.MS_NODIRATIME, unix.MOUNT_ATTR_NODIRATIME},
		{unix.MS_RELATIME, unix.MOUNT_ATTR_RELATIME},
		{unix.MS_NOATIME | unix.MS_STRICTATIME, unix.MOUNT_ATTR_NOATIME},
		{unix.MS_STRICTATIME, unix.MOUNT_ATTR_STRICTATIME},
		{unix.MS_BIND | unix.MS_REC | unix.MS_LAZYTIME, 0},
	} {
		if got := attrBits(c.flags); got != c.want {
			t.Errorf("attrBits(%#x) = %#x, want %#x", c.flags, got, c.want)
		}
	}
}

// FuzzParse checks that the data for a file system holds no option that parse knows.
func FuzzParse(f *testing.F) {
	f.Add("ro,rbind,rro,size=1,x-y,rprivate,tmpcopyup,rr")
	f.Fuzz(func(t *testing.T, text string) {
		o := parse(strings.Split(text, ","))
		if len(o.data) > len(text) {
			t.Errorf("parse(%q) has data %q, longer than the text", text, o.data)
		}
		again := parse(strings.Split(o.data, ","))
		if !reflect.DeepEqual(again, options{data: o.data}) {
			t.Errorf("parse(%q) of data = %+v, want the data only", o.data, again)
		}
		if o.flags&o.cleared != 0 || o.flags&propagationTypes != 0 {
			t.Errorf("parse(%q) = %+v", text, o)
		}
	})
}
