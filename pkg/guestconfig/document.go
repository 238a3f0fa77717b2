package guestconfig

import (
	"cmp"
	"slices"
	"strings"

	"github.com/krunbox/krunbox/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// document holds the supported members of a configuration file. The methods of reader have the names
// of the members.
type document struct {
	Args, Env []string
	Cwd       string
	Image     image
	Config    image // of the configuration of an image
	Inspect   image // of the output of "docker inspect"

	Process       process
	Hostname      string
	ImageHostname string
	Domainname    string
	Mounts        []specs.Mount
	Linux         linux
	RootReadonly  bool
}

// image has the members in the spelling of the OCI image-spec, and Cwd of libkrun.
type image struct {
	Cmd, Entrypoint, Env []string
	Cwd, WorkingDir      string
	User, StopSignal     string
}

// process is process of the OCI runtime-spec.
type process struct {
	specs.Process
	Image image

	User *specs.User // in place of specs.Process.User; nil if the file has none
}

// linux is the supported part of specs.Linux.
type linux struct {
	Sysctl            map[string]string
	Devices           []specs.LinuxDevice
	Namespaces        []specs.LinuxNamespace
	RootfsPropagation string
	MaskedPaths       []string
	ReadonlyPaths     []string
}

// config returns what the document asks for, choosing between fields with the same meaning.
func (doc *document) config(unsupported []string) Config {
	inner, outer := &doc.Process.Image, doc.image()
	process := doc.Process.Process
	command := firstList(process.Args, inner.Cmd, doc.Args, outer.Cmd)
	process.Args = slices.Concat(firstList(inner.Entrypoint, outer.Entrypoint), command)
	process.Env = firstList(process.Env, inner.Env, doc.Env, outer.Env)
	process.Env = slices.DeleteFunc(process.Env, func(entry string) bool {
		return strings.IndexByte(entry, '=') <= 0
	})
	process.Cwd = cmp.Or(process.Cwd, inner.Cwd, inner.WorkingDir,
		doc.Cwd, outer.Cwd, outer.WorkingDir)
	if !process.Terminal {
		process.ConsoleSize = nil
	}
	isMount := func(n specs.LinuxNamespace) bool { return n.Type == specs.MountNamespace }
	if slices.ContainsFunc(doc.Linux.Namespaces, isMount) {
		unsupported = slices.DeleteFunc(unsupported, enforcedByEngine)
	}
	c := Config{
		Process:      process,
		User:         cmp.Or(inner.User, outer.User),
		Hostname:     cmp.Or(doc.Hostname, doc.ImageHostname),
		Domainname:   doc.Domainname,
		Mounts:       doc.Mounts,
		RootReadonly: doc.RootReadonly,
		Unsupported:  unsupported,
		Linux: specs.Linux{
			Sysctl:            doc.Linux.Sysctl,
			Devices:           doc.Linux.Devices,
			Namespaces:        doc.Linux.Namespaces,
			RootfsPropagation: doc.Linux.RootfsPropagation,
			MaskedPaths:       doc.Linux.MaskedPaths,
			ReadonlyPaths:     doc.Linux.ReadonlyPaths,
		},
	}
	if user := doc.Process.User; user != nil {
		c.HasUser, c.User, c.Process.User = true, "", *user
		name, _, _ := strings.Cut(user.Username, ":")
		if user.UID == 0 && name != "root" && name != "0" {
			c.User = user.Username
		}
		c.Process.User.Username = ""
	}
	c.limitCapabilities()
	signal := cmp.Or(inner.StopSignal, outer.StopSignal)
	if number, ok := oci.ParseSignal(signal); ok {
		c.StopSignal = number
	} else if signal != "" {
		c.reportValue("StopSignal", signal)
	}
	return c
}

// enforcedByEngine reports whether field is a confinement that a container engine applies to the
// container in which the virtual machine runs.
func enforcedByEngine(field string) bool {
	return field == "linux.seccomp" || field == "process.selinuxLabel" ||
		field == "process.apparmorProfile"
}

// image returns the fields in the spelling of images, from the first object that has them.
func (doc *document) image() *image {
	all := doc.Image
	for _, i := range []*image{&doc.Config, &doc.Inspect} {
		all.Cmd, all.Entrypoint = firstList(all.Cmd, i.Cmd), firstList(all.Entrypoint, i.Entrypoint)
		all.Env = firstList(all.Env, i.Env)
		all.Cwd, all.WorkingDir = cmp.Or(all.Cwd, i.Cwd), cmp.Or(all.WorkingDir, i.WorkingDir)
		all.User, all.StopSignal = cmp.Or(all.User, i.User), cmp.Or(all.StopSignal, i.StopSignal)
	}
	return &all
}

func firstList(lists ...[]string) []string {
	for _, list := range lists {
		if len(list) > 0 {
			return list
		}
	}
	return nil
}
