/** Object identifiers that this room knows, in dotted form, grouped by the document that assigns them. */
export const OID = {
  // RFC 5280 section 4.1.2.4 and Annex A.1
  commonName: '2.5.4.3',
  serialNumber: '2.5.4.5',
  countryName: '2.5.4.6',
  organizationName: '2.5.4.10',
  organizationalUnitName: '2.5.4.11',
  // RFC 5280 section 4.2.1
  subjectDirectoryAttributes: '2.5.29.9',
  subjectKeyIdentifier: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  nameConstraints: '2.5.29.30',
  certificatePolicies: '2.5.29.32',
  anyPolicy: '2.5.29.32.0',
  policyMappings: '2.5.29.33',
  authorityKeyIdentifier: '2.5.29.35',
  policyConstraints: '2.5.29.36',
  extendedKeyUsage: '2.5.29.37',
  anyExtendedKeyUsage: '2.5.29.37.0',
  inhibitAnyPolicy: '2.5.29.54',
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
  // RFC 4043 and RFC 4108
  permanentIdentifier: '1.3.6.1.5.5.7.8.3',
  hardwareModuleName: '1.3.6.1.5.5.7.8.4',
  // RFC 2985
  extensionRequest: '1.2.840.113549.1.9.14',
  // RFC 8017, RFC 4055
  rsaEncryption: '1.2.840.113549.1.1.1',
  mgf1: '1.2.840.113549.1.1.8',
  rsassaPss: '1.2.840.113549.1.1.10',
  // TPM 1.2 certificates say by this what their key is for (RFC 4055 section 4)
  rsaesOaep: '1.2.840.113549.1.1.7',
  // RFC 5480
  ecPublicKey: '1.2.840.10045.2.1',
  p256: '1.2.840.10045.3.1.7',
  p384: '1.3.132.0.34',
  p521: '1.3.132.0.35',
  // TCG OID registry
  tpm20: '2.23.133.1.2',
  tpmManufacturer: '2.23.133.2.1',
  tpmModel: '2.23.133.2.2',
  tpmVersion: '2.23.133.2.3',
  tpmSpecification: '2.23.133.2.16',
  ekCertificate: '2.23.133.8.1',
  aikCertificate: '2.23.133.8.3',
  verifiedTpmFixed: '2.23.133.11.1.2',
  verifiedTpmRestricted: '2.23.133.11.1.3',
  ekPermanentIdSha256: '2.23.133.12.1',
  // Touchstone's own: the UUID ceae99ac-ed93-456f-8e90-54e1b5214bbe under 2.25 (ITU-T X.667), so that no arc had to be
  // registered. The key signs results and answers to nodes.
  resultSigning: '2.25.274727543694517028308880336840191724478',
  // 351ee45e-69c6-4551-a271-b24f3f8f2a38: the policy of the guest CA. Certificates under it are of endorsement keys of
  // vTPMs, and never of a machine's TPM.
  guestEk: '2.25.70609484551929115707165932579797805624',
  // 8d47f735-cd4d-461a-9e87-615493e9f8f3: the purpose of a certificate for an app's key.
  appKey: '2.25.187794814500431671417845486490181302515',
} as const
