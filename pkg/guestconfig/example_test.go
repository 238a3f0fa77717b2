package guestconfig_test

import (
	"fmt"

	"github.com/krunbox/krunbox/pkg/guestconfig"
)

func ExampleParse() {
	config, err := guestconfig.Parse([]byte(`{
		"process": {
			"args": ["serve", "--port=80"],
			"env": ["PATH=/bin"],
			"user": {"uid": 1000, "gid": 1000}
		},
		"Entrypoint": ["/bin/app"],
		"hostname": "box",
		"linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW"}}
	}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%q\n", config.Process.Args)
	fmt.Println(config.Hostname, config.HasUser, config.Process.User.UID)
	fmt.Println("not supported:", config.Unsupported)
	// Output:
	// ["/bin/app" "serve" "--port=80"]
	// box true 1000
	// not supported: [linux.seccomp]
}

// An error names line, column and field.
func ExampleParse_error() {
	_, err := guestconfig.Parse([]byte(`{"process": {"args": "/bin/sh"}}`))
	fmt.Println(err)
	// Output:
	// line 1, column 22: process.args: expected a list, found a string
}
