//go:build !calls

package main

func also() {}
