//! Code lists that are more than one record type's: categories, purposes and legal bases.

use serde::{Deserialize, Serialize};

/// A language that everything in the catalogue is labelled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lang {
    /// Japanese.
    Ja,
    /// English.
    En,
}

impl Lang {
    /// The BCP 47 tag: `ja` or `en`.
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::Ja => "ja",
            Self::En => "en",
        }
    }
}

macro_rules! code_list {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $code:literal, $ja:literal, $en:literal;)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $code)] $variant,)*
        }

        impl $name {
            /// All of them, in the order in which screens list them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The code in entries, requests and metadata.
            #[must_use]
            pub fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// The one with that code.
            #[must_use]
            pub fn from_code(code: &str) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)* _ => None }
            }

            /// What people read.
            #[must_use]
            pub fn label(self, lang: Lang) -> &'static str {
                match (self, lang) {
                    $((Self::$variant, Lang::Ja) => $ja, (Self::$variant, Lang::En) => $en,)*
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.code())
            }
        }
    };
}

code_list! {
    /// What a person consents to: every record type belongs to one category.
    Category {
        /// Vaccinations.
        Vaccination = "vaccination", "予防接種", "Vaccinations";
        /// Checkups of infants and small children.
        InfantCheckup = "infant_checkup", "乳幼児健診", "Infant checkups";
        /// Laboratory results.
        Laboratory = "laboratory", "検体検査", "Laboratory results";
        /// Images and their reports.
        Imaging = "imaging", "画像検査", "Imaging";
        /// Prescriptions and dispensing.
        Medication = "medication", "お薬", "Medication";
        /// Health at school.
        SchoolHealth = "school_health", "学校健診", "School health";
    }
}

code_list! {
    /// Why somebody asks.
    Purpose {
        /// Diagnosis and treatment of the person.
        Care = "care", "診療", "Care";
        /// Deciding and paying an insurance benefit.
        Payout = "payout", "保険金・給付金の支払い", "Insurance payout";
        /// A public body's task for the person: schedules, recommendations, follow-up.
        PublicHealth = "public_health", "自治体の保健事業", "Public health service";
        /// School and nursery: enrolment, health management.
        School = "school", "学校・保育での健康管理", "School and nursery";
        /// Entry to a venue or an event.
        Venue = "venue", "施設・イベントの入場", "Entry to a venue";
        /// Research.
        Research = "research", "研究", "Research";
        /// Numbers about groups, never about a person.
        Statistics = "statistics", "統計", "Statistics";
        /// Carrying records over to another service or place.
        Transfer = "transfer", "引っ越し・他サービスへの引き継ぎ", "Moving records";
        /// Saving a life when nobody can ask.
        Emergency = "emergency", "救急", "Emergency";
    }
}

code_list! {
    /// On what legal ground: the bases that Japanese and European law know for health data (the Act on the Protection of
    /// Personal Information, articles 18, 20 and 27; GDPR articles 6 and 9), by the names of the W3C Data Privacy Vocabulary.
    LegalBasis {
        /// The person agrees.
        Consent = "consent", "本人の同意", "Consent";
        /// The person agrees in so many words, as health data of some kinds want it.
        ExplicitConsent = "explicit_consent", "本人のはっきりした同意", "Explicit consent";
        /// To do what a contract with the person says.
        Contract = "contract", "契約のため", "Contract";
        /// A law demands it.
        LegalObligation = "legal_obligation", "法令の定め", "Legal obligation";
        /// To save somebody's life or health.
        VitalInterest = "vital_interest", "命や体を守るため", "Vital interest";
        /// In the public interest, as public health is.
        PublicInterest = "public_interest", "公衆衛生など公共の利益", "Public interest";
        /// A public body's own task.
        OfficialAuthority = "official_authority", "公の機関の事務", "Official authority";
        /// An interest that outweighs the person's, as the law lets it.
        LegitimateInterest = "legitimate_interest", "正当な利益", "Legitimate interest";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_labels_are_distinct_and_come_back() {
        for category in Category::ALL {
            assert_eq!(Category::from_code(category.code()), Some(*category));
            assert_eq!(serde_json::to_value(category).unwrap(), category.code());
        }
        for purpose in Purpose::ALL {
            assert_eq!(Purpose::from_code(purpose.code()), Some(*purpose));
            assert_ne!(purpose.label(Lang::Ja), purpose.label(Lang::En));
        }
        for basis in LegalBasis::ALL {
            assert_eq!(LegalBasis::from_code(basis.code()), Some(*basis));
            assert_ne!(basis.label(Lang::Ja), basis.label(Lang::En));
        }
        assert_eq!(Category::from_code("Vaccination"), None);
    }
}
