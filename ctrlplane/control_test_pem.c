/* SPDX-License-Identifier: BSD-3-Clause
 * Certificate and keys for the tests of ctrlplane, made with openssl(1); they protect nothing.
 */
extern const char test_chain_pem[], test_key_pem[],
    test_other_key_pem[]; /* control_test_support.h */

const char test_chain_pem[] = "-----BEGIN CERTIFICATE-----\n"
                              "MIIBnjCCAUSgAwIBAgIUImGKXIoQt/0QuwHaLoUtIDKk94UwCgYIKoZIzj0EAwIw\n"
                              "FzEVMBMGA1UEAwwMdGVzdC5leGFtcGxlMCAXDTI2MTEyNTA0MTgzMFoYDzIxMjYx\n"
                              "MTAxMDQxODMwWjAXMRUwEwYDVQQDDAx0ZXN0LmV4YW1wbGUwWTATBgcqhkjOPQIB\n"
                              "BggqhkjOPQMBBwNCAAQl3V17UxpFjSJ+Eb0IwPDs1ZVtKCIHn9nNg7div5qxKhCD\n"
                              "c1rR0qsC2It8GwQuVOzW8wKJybCh7Hq+UCWHiJaEo2wwajAdBgNVHQ4EFgQU6dsF\n"
                              "POOtqhu3acPj6RCSPHRXqeowHwYDVR0jBBgwFoAU6dsFPOOtqhu3acPj6RCSPHRX\n"
                              "qeowDwYDVR0TAQH/BAUwAwEB/zAXBgNVHREEEDAOggx0ZXN0LmV4YW1wbGUwCgYI\n"
                              "KoZIzj0EAwIDSAAwRQIhAJnk/4XOCIVGDfWCsNqTSK0lVSwBVj9Ls+C31hKF3kXC\n"
                              "AiBZG7YBKQnL5iGIZYujw8ounc6O9MasZYPwfamSBEddRg==\n"
                              "-----END CERTIFICATE-----\n";

const char test_key_pem[] = "-----BEGIN EC PRIVATE KEY-----\n"
                            "MHcCAQEEIAJjC9Rid2a6xjfFw2yaTgiPsBIvmzNIccEmKycyprd8oAoGCCqGSM49\n"
                            "AwEHoUQDQgAEJd1de1MaRY0ifhG9CMDw7NWVbSgiB5/ZzYO3Yr+asSoQg3Na0dKr\n"
                            "AtiLfBsELlTs1vMCicmwoex6vlAlh4iWhA==\n"
                            "-----END EC PRIVATE KEY-----\n";

const char test_other_key_pem[] =
    "-----BEGIN EC PRIVATE KEY-----\n"
    "MHcCAQEEIMp03FOFydKod91xmWA7hTvzd6n5+vFatTvO3GRFLeZ/oAoGCCqGSM49\n"
    "AwEHoUQDQgAEwflPtMkf20S1lOBxY71yy8LHE7/NtuwLl2nUHlcT7HP3Dls7Acaa\n"
    "4kYsjq01pk9333tPU9Jreaa8ARS086xbQQ==\n"
    "-----END EC PRIVATE KEY-----\n";
