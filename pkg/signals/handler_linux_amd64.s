#include "textflag.h"

#define SYS_write	1
#define SYS_rt_sigreturn	15

// handler is called by the kernel, on the signal stack, with the signal in DI. What it changes in registers rt_sigreturn
// undoes.
TEXT handler<>(SB), NOSPLIT|NOFRAME, $0
	SUBQ	$8, SP
	MOVB	DI, (SP)
	MOVL	$SYS_write, AX
	MOVL	·writeEnd(SB), DI
	MOVQ	SP, SI
	MOVL	$1, DX
	SYSCALL
	ADDQ	$8, SP
	RET	// to restorer

// faultHandler leaves to Go what the kernel raised (si_code above 0, see sigaction(2)): only what somebody sent is for the
// pipe.
TEXT faultHandler<>(SB), NOSPLIT|NOFRAME, $0
	CMPL	8(SI), $0	// siginfo_t.si_code
	JLE	sent
	MOVQ	·runtimeHandler(SB), AX
	JMP	AX
sent:
	JMP	handler<>(SB)

TEXT restorer<>(SB), NOSPLIT|NOFRAME, $0
	MOVL	$SYS_rt_sigreturn, AX
	SYSCALL

// func handlerAddress() uintptr
TEXT ·handlerAddress(SB), NOSPLIT, $0-8
	LEAQ	handler<>(SB), AX
	MOVQ	AX, ret+0(FP)
	RET

// func faultHandlerAddress() uintptr
TEXT ·faultHandlerAddress(SB), NOSPLIT, $0-8
	LEAQ	faultHandler<>(SB), AX
	MOVQ	AX, ret+0(FP)
	RET

// func restorerAddress() uintptr
TEXT ·restorerAddress(SB), NOSPLIT, $0-8
	LEAQ	restorer<>(SB), AX
	MOVQ	AX, ret+0(FP)
	RET
